//! Values that must not be seen.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

use crate::error::{Error, Result};

/// A credential. It cannot be printed: `Debug` shows `Secret(***)`, there is no `Display`, and the
/// memory is wiped when it is dropped.
///
/// ```
/// use headwater::Secret;
/// assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(***)");
/// ```
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(SecretString::from(value.into()))
    }

    /// Reads an environment variable; white space around the value is dropped.
    ///
    /// # Errors
    /// `Config` if the variable is not set, is empty, or is not Unicode. The error names the variable,
    /// never its value.
    pub fn env(variable: &str) -> Result<Self> {
        let value = match std::env::var(variable) {
            Ok(value) => Self::new(value),
            Err(std::env::VarError::NotPresent) => {
                return Err(Error::config(format!("the environment variable {variable} is not set")));
            }
            Err(std::env::VarError::NotUnicode(_)) => {
                return Err(Error::config(format!("the environment variable {variable} is not Unicode")));
            }
        };
        let trimmed = value.expose().trim();
        if trimmed.is_empty() {
            return Err(Error::config(format!("the environment variable {variable} is empty")));
        }
        Ok(Self::new(trimmed))
    }

    /// Hands out the value. Whoever calls this answers for where it goes.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl From<&str> for Secret {
    fn from(value: &str) -> Self {
        Self::new(value)
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self::new(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_variable_is_named() {
        let error = Secret::env("HEADWATER_TEST_NOT_SET").unwrap_err();
        assert!(error.to_string().contains("HEADWATER_TEST_NOT_SET"), "{error}");
    }

    #[test]
    fn it_cannot_be_printed() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(***)");
    }
}
