//! Next URLs, shown one answer at a time.

use super::*;
use crate::paginate::testing::page;

fn next(by: &NextUrl, body: &str) -> Result<Option<String>> {
    let next = page(Position::Start, body).to(by)?;
    Ok(next.map(|position| position.to_string().replace("url https://api.example.com", "")))
}

fn asked(by: &NextUrl, url: &str) -> String {
    let template = Request::get("https://api.example.com/v1/items?q=x&key=k&f=json").unwrap();
    by.request(&template, &Position::Url(url.into())).unwrap().url().to_string()
}

#[test]
fn every_kind_of_reference_is_resolved() {
    let by = NextUrl::body("next");
    for (target, resolved) in [
        ("https://api.example.com/v2?x=1#f", "https://api.example.com/v2?x=1"),
        ("/v1/items?page=2", "https://api.example.com/v1/items?page=2"),
        ("?page=2", "https://api.example.com/v1/items?page=2"),
        ("more", "https://api.example.com/v1/more"),
        ("//other.example/x", "https://other.example/x"),
    ] {
        let position = page(Position::Start, format!(r#"{{"next":"{target}"}}"#)).to(&by).unwrap();
        assert_eq!(position, Some(Position::Url(resolved.into())), "{target}");
    }
}

#[test]
fn a_link_of_http_to_our_own_host_is_upgraded_only_where_declared() {
    let by = NextUrl::body("next");
    for (target, upgraded) in [
        ("http://api.example.com/v2?x=1", "https://api.example.com/v2?x=1"),
        ("http://api.example.com:80/v2", "https://api.example.com/v2"),
        ("http://api.example.com:8080/v2", "http://api.example.com:8080/v2"),
        ("http://evil.example/v2", "http://evil.example/v2"),
        ("/v2", "https://api.example.com/v2"),
    ] {
        let body = format!(r#"{{"next":"{target}"}}"#);
        let position = page(Position::Start, body.clone()).to(&by.clone().upgrade_http()).unwrap();
        assert_eq!(position, Some(Position::Url(upgraded.into())), "{target}");
        let position = page(Position::Start, body).to(&by).unwrap().unwrap();
        assert_eq!(position.to_string().contains("url https"), target.starts_with('/'), "{target}");
    }
    assert_ne!(by.definition(), by.clone().upgrade_http().definition());
}

#[test]
fn the_end_is_null_or_empty_and_never_missing() {
    let by = NextUrl::body("next");
    assert_eq!(next(&by, r#"{"next":null}"#).unwrap(), None);
    assert_eq!(next(&by, r#"{"next":""}"#).unwrap(), None);
    assert!(next(&by, "{}").is_err());
    assert_eq!(next(&by.clone().missing_ends(), "{}").unwrap(), None);
    assert!(next(&by, r#"{"next":7}"#).is_err());
    assert!(next(&by, r#"{"next":{"href":"/x"}}"#).is_err());
    assert!(next(&by, r#"{"next":"https://["}"#).is_err());
}

#[test]
fn a_flag_decides_over_the_link() {
    let by = NextUrl::body("next").until_false("more");
    assert_eq!(next(&by, r#"{"next":"/x","more":false}"#).unwrap(), None);
    assert_eq!(next(&by, r#"{"next":"/x","more":true}"#).unwrap().as_deref(), Some("/x"));
    for lost in [r#"{"next":null,"more":true}"#, r#"{"next":"","more":"true"}"#] {
        assert_eq!(next(&by, lost).unwrap_err().kind(), ErrorKind::Truncated, "{lost}");
    }
    let gone = next(&by.missing_ends(), r#"{"more":true}"#).unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::Truncated);
}

#[test]
fn a_list_of_links_is_searched_for_the_relation() {
    let by = NextUrl::links("links");
    for (list, target) in [
        (r#"[{"rel":"prev","href":"/a"},{"rel":"next","href":"/b"}]"#, Some("/b")),
        (r#"[{"relation":"next","url":"/b"}]"#, Some("/b")),
        (r#"[{"rel":["self","NEXT"],"uri":"/b"}]"#, Some("/b")),
        (r#"{"@rel":"next","@href":"/b"}"#, Some("/b")),
        (r#"[{"rel":"nextish","href":"/a"},7,null]"#, None),
        ("[]", None),
        ("null", None),
    ] {
        assert_eq!(next(&by, &format!(r#"{{"links":{list}}}"#)).unwrap().as_deref(), target, "{list}");
    }
    assert!(next(&by, r#"{"links":[{"rel":"next"}]}"#).is_err());
    assert!(next(&by, r#"{"links":"x"}"#).is_err());
    assert!(next(&by, "{}").is_err());
    assert_eq!(next(&by.clone().missing_ends(), "{}").unwrap(), None);
    let lost = next(&by.until(End::when_false("more")), r#"{"links":[],"more":true}"#).unwrap_err();
    assert_eq!(lost.kind(), ErrorKind::Truncated);
    let up = NextUrl::links("links").relation("up");
    assert_eq!(next(&up, r#"{"links":[{"rel":"up","href":"/u"}]}"#).unwrap().as_deref(), Some("/u"));
}

#[test]
fn a_header_may_be_the_url() {
    let by = NextUrl::header("Next-Page").missing_ends();
    let shown = page(Position::Start, "{}").header("next-page", "/v1/items?_token=t");
    assert!(
        matches!(shown.to(&by).unwrap(), Some(Position::Url(url)) if url.ends_with("/v1/items?_token=t"))
    );
    assert_eq!(next(&by, "{}").unwrap(), None);
    assert!(next(&NextUrl::header("Next-Page"), "{}").is_err());
}

#[test]
fn the_base_may_stand_in_the_body_or_be_given() {
    let by = NextUrl::body("next").base_body("base");
    for (base, target, resolved) in [
        ("https://api.example.com/wiki", "/rest?c=1", "/wiki/rest?c=1"),
        ("/wiki/", "rest?c=1", "/wiki/rest?c=1"),
        ("/wiki", "?c=1", "/wiki?c=1"),
        ("/wiki", "https://api.example.com/x", "/x"),
    ] {
        let body = format!(r#"{{"next":"{target}","base":"{base}"}}"#);
        assert_eq!(next(&by, &body).unwrap().as_deref(), Some(resolved), "{body}");
    }
    assert!(next(&by, r#"{"next":"/x"}"#).is_err());
    assert!(next(&by, r#"{"next":"/x","base":null}"#).is_err());
    let odata = NextUrl::body("next").relative_to("/odata/v4/catalog");
    let body = r#"{"next":"Books?$skiptoken=100"}"#;
    assert_eq!(next(&odata, body).unwrap().as_deref(), Some("/odata/v4/catalog/Books?$skiptoken=100"));
}

#[test]
fn parameters_are_kept_and_stripped() {
    let by = NextUrl::body("next").keep_query(["key", "f"]);
    assert_eq!(asked(&by, "/v1/items?offset=5"), "https://api.example.com/v1/items?offset=5&key=k&f=json");
    assert_eq!(asked(&by, "/v1/items?f=html"), "https://api.example.com/v1/items?f=html&key=k");
    assert_eq!(asked(&by, "/v1/items"), "https://api.example.com/v1/items?key=k&f=json");
    assert_eq!(asked(&by, "https://other.example/x"), "https://other.example/x", "a key stays at home");
    let by = NextUrl::body("next").strip_query(["access_token"]);
    let body = r#"{"next":"/v1?access_token=secret&after=a&access%5Ftoken=s"}"#;
    assert_eq!(next(&by, body).unwrap().as_deref(), Some("/v1?after=a"));
}

#[test]
fn a_link_to_the_page_itself_is_the_end_where_declared() {
    let by = NextUrl::body("next").until(End::repeated());
    let itself = r#"{"next":"/v1/items?limit=2"}"#;
    assert_eq!(next(&by, itself).unwrap(), None);
    assert!(next(&NextUrl::body("next"), itself).unwrap().is_some());
}

#[test]
fn old_definitions_stay_as_they_were() {
    assert_eq!(NextUrl::body("next").definition(), "next url next");
    assert_eq!(NextUrl::body("next").missing_ends().definition(), "next url next missing ends");
}
