//! What must not compile, and what the compiler says then.
//!
//! `TRYBUILD=overwrite cargo test --test compile_fail` writes the messages anew.

#[test]
fn retrying_below_the_limiter_does_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/retry_before_rate_limit.rs");
}
