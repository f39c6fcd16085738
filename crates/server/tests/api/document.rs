//! The API's description is part of the contract: a change to it shows up here.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::fixture::Door;

#[tokio::test]
async fn the_description_is_as_it_was() {
    let door = Door::open().await;
    let document: Value = door.read("/api/openapi.json").await;
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(|| insta::assert_snapshot!("openapi", serde_json::to_string_pretty(&document).unwrap()));
}

#[tokio::test]
async fn every_reference_of_the_description_leads_somewhere() {
    let door = Door::open().await;
    let document: Value = door.read("/api/openapi.json").await;
    let mut references = BTreeSet::new();
    collect(&document, &mut references);
    assert!(references.len() > 10);
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

fn collect(value: &Value, references: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                references.insert(reference.clone());
            }
            fields.values().for_each(|field| collect(field, references));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, references)),
        _ => {}
    }
}

#[tokio::test]
async fn people_can_read_it_too() {
    let door = Door::open().await;
    let document: Value = door.read("/api/openapi.json").await;
    let page = door.get("/api").await.text();
    assert!(!page.contains("<script"));
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let heading = format!("<code>{} {path}</code>", method.to_uppercase());
            assert!(page.contains(&heading), "{heading}");
            let summary = operation["summary"].as_str().unwrap().replace('\'', "&#39;");
            assert!(!summary.is_empty() && page.contains(&summary), "{summary}");
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let name = parameter["name"].as_str().unwrap();
                assert!(page.contains(&format!("<code>{name}</code>")), "{name} of {heading}");
            }
        }
    }
}
