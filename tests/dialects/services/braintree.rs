//! Braintree, by GraphQL and by the older gateway.

use headwater::Source;
use headwater::page::Format;
use headwater::pages::Fanout;
use headwater::paginate::{Cursor, Single};
use headwater::testing::Reply;
use serde_json::{Value, json};

use super::row::{RECORDS, Row, Way};
use super::server::{Limit, ok, page, place, refuse, serve, token};

pub(crate) fn rows() -> Vec<Row> {
    vec![braintree()]
}

/// Braintree. GraphQL (developer.paypal.com/braintree/graphql/guides/connections): Relay connections, at most 50,
/// `Braintree-Version` with every request. The older gateway: a search gives all ids and the size of a page, and then
/// so many at a time are asked for by their ids; JSON goes in, XML comes out.
fn braintree() -> Row {
    let limit = Limit::untold(3, 0);
    let hit = limit.clone();
    let graphql = serve(move |asked| {
        asked.at("POST", "/graphql")?;
        asked.authorized("Basic cHVibGljOnByaXZhdGU=")?;
        asked.says("braintree-version", "2019-01-01")?;
        limit.pass(asked, |_| Reply::status(429).body(r#"{"errors":[{"message":"Too many requests","extensions":{"errorClass":"RESOURCE_LIMIT"}}]}"#))?;
        if *asked.body("/variables/input/status/in") != json!(["SETTLED"]) {
            return Err(refuse(400, "the criteria are gone"));
        }
        let size = asked.body("/variables/first").as_u64().unwrap_or(50);
        if size > 50 {
            return ok(json!({"data": null, "errors": [{"message": "first must be at most 50"}]}));
        }
        let start = match asked.body("/variables/after") {
            Value::String(token) => place(token)?,
            _ => 0,
        };
        let edges = page(start, size, |n| json!({"node": {"id": format!("tx{n}"), "n": n}}));
        let info = json!({"hasNextPage": start + size < RECORDS, "endCursor": token(start + size)});
        ok(json!({"data": {"search": {"transactions": {"edges": edges, "pageInfo": info}}}}))
    });
    let query = "query ($input: TransactionSearchInput!, $first: Int, $after: String) { search { \
                 transactions(input: $input, first: $first, after: $after) { pageInfo { hasNextPage endCursor } \
                 edges { node { id status } } } } }";
    let connection = "data.search.transactions";
    let graphql_source = Source::graphql("transactions", "https://payments.braintree-api.com/graphql", query)
        .variable("input", json!({"status": {"in": ["SETTLED"]}}))
        .variable("first", 50)
        .basic("public", "private")
        .header("braintree-version", "2019-01-01")
        .records(format!("{connection}.edges"))
        .paginate(
            Cursor::body(format!("{connection}.pageInfo.endCursor"))
                .into_body("variables.after")
                .until_false(&format!("{connection}.pageInfo.hasNextPage")),
        );

    let xml =
        |body: String| Reply::status(200).header("content-type", "application/xml; charset=utf-8").body(body);
    let gateway = serve(move |asked| {
        asked.authorized("Basic cHVibGljOnByaXZhdGU=")?;
        asked.says("x-apiversion", "6")?;
        asked.says("accept", "application/xml")?;
        match asked.path() {
            "/merchants/m1/transactions/advanced_search_ids" => {
                if *asked.body("/search/status") != json!(["settled"]) {
                    return Err(refuse(422, "no criteria"));
                }
                let ids: String = (0..RECORDS).map(|n| format!("<item>tx{n}</item>")).collect();
                Ok(xml(format!(
                    r#"<?xml version="1.0"?><search-results><page-size type="integer">50</page-size><ids type="array">{ids}</ids></search-results>"#
                )))
            }
            "/merchants/m1/transactions/advanced_search" => {
                let ids = asked.body("/search/ids");
                let ids = ids
                    .as_array()
                    .filter(|ids| ids.len() <= 50)
                    .ok_or_else(|| refuse(422, "ids: up to 50"))?;
                let found: String = ids
                    .iter()
                    .map(|id| {
                        let n = id.as_str().and_then(|id| id.strip_prefix("tx")).unwrap_or("none");
                        format!("<transaction><id>tx{n}</id><n>{n}</n></transaction>")
                    })
                    .collect();
                Ok(xml(format!(
                    r#"<credit-card-transactions type="collection"><current-page-number type="integer">1</current-page-number>{found}</credit-card-transactions>"#
                )))
            }
            path => Err(refuse(404, path)),
        }
    });
    let search = |name: &str, path: &str, search: Value| {
        Source::post(name, format!("https://api.braintreegateway.com/merchants/m1/transactions/{path}"))
            .json(json!({"search": search}))
            .repeatable()
            .basic("public", "private")
            .header("x-apiversion", "6")
            .header("accept", "application/xml")
            .format(Format::xml())
            .paginate(Single)
    };
    let ids = search("ids", "advanced_search_ids", json!({"status": ["settled"]}))
        .records("search-results.ids.item")
        .transport(gateway.clone());
    let gateway_source = search("transactions", "advanced_search", json!({"ids": "{ids}"}))
        .records("credit-card-transactions.transaction")
        .fanout(Fanout::over(ids).bind_list("ids", "", 50));
    Row::new(
        "Braintree",
        [
            Way::new("C", graphql, graphql_source)
                .named("GraphQL")
                .number("node.n")
                .checked(move || hit.kept()),
            Way::new("F", gateway, gateway_source).named("ids"),
        ],
    )
}
