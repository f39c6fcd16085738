//! Folders as pages and as rows: every child, whatever its name and however many there are.

use std::collections::BTreeSet;

use peerage_wire::api::{FolderRow, Page, RowKind};
use peerage_wire::percent;

use super::*;

/// The addresses of a page's rows, as a program finds them.
fn links(got: &Got) -> Vec<String> {
    let page = std::str::from_utf8(&got.body).unwrap();
    let rows = page.split("<tr class=").skip(1).filter_map(|row| row.split("<a href=\"").nth(1));
    let links = rows.map(|row| row.split('"').next().unwrap().to_owned());
    links.filter(|link| link != "../").collect()
}

async fn rows(public: &Public, path: &str) -> Page<FolderRow> {
    let got = public.get(path, &[("accept", "application/json")]).await;
    assert_eq!((got.status, got.header(CONTENT_TYPE)), (StatusCode::OK, "application/json"), "{path}");
    serde_json::from_slice(&got.body).unwrap()
}

/// Names that have broken other programs; each is a file's.
fn nasty_names() -> Vec<String> {
    let mut names = [
        "plain.txt",
        " two  spaces ",
        "100% & more",
        "%2e%2e",
        "%2F",
        "#hash?query=1",
        "a+b;c=d,e",
        "quote\"s and 'apostrophes'",
        "-rf",
        "--help",
        "a...",
        "~",
        "$(id) `id`",
        "http:",
        "javascript:alert(1)",
        "data:text,html",
        "<script>alert(1)",
        "<img src=x onerror=alert(1)>",
        "a<",
        "\"onmouseover=\"alert(1)",
        "<!--",
        "&lt;b&gt;",
        "]]>",
        "emoji 🎷🐈",
        "日本語",
        "עברית",
        "rtl\u{202e}gpj.exe",
        "zero\u{200b}width",
        "e\u{301}te\u{301}", // shared as `été`
        "index.html",
        "a:b|c*d<e>f",
    ]
    .map(str::to_owned)
    .to_vec();
    names.extend(["a".repeat(255), "é".repeat(127), "%".repeat(255)]);
    names
}

#[tokio::test]
async fn a_name_of_any_kind_leads_to_its_file_and_is_only_text() {
    let names = nasty_names();
    let files: Vec<(String, &[u8])> =
        names.iter().map(|name| (format!("in \"<&'/{name}"), name.as_bytes())).collect();
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (name.as_str(), *bytes)).collect();
    let public = Public::start(&files).await;
    let above = public.get("/v1/shares/share/", &[]).await;
    assert_eq!(links(&above), ["in%20%22%3C%26%27/"]);
    let folder = format!("/v1/shares/share/{}", links(&above)[0]);
    let page = public.get(&folder, &[("accept", "text/html")]).await;
    assert_eq!(page.header(CONTENT_TYPE), "text/html; charset=utf-8");
    let links = links(&page);
    assert_eq!(links.len(), names.len());
    let mut found = BTreeSet::new();
    for link in &links {
        let is_encoded = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte);
        assert!(link.bytes().all(is_encoded), "{link}");
        let got = public.get(&format!("{folder}{link}"), &[]).await;
        assert_eq!(got.status, StatusCode::OK, "{link}");
        found.insert(String::from_utf8(got.body.to_vec()).unwrap());
    }
    assert_eq!(found, names.iter().cloned().collect(), "each link leads to the file of that name");

    let text = std::str::from_utf8(&page.body).unwrap();
    for raw in
        ["<script>", "<img", "\"onmouseover", "<!--", "&lt;b&gt;<", "\u{202e}", "\u{200b}", "'apostrophes'"]
    {
        assert!(!text.contains(raw), "{raw:?} as it is");
    }
    assert_eq!(text.matches("<a href=").count(), names.len() + 1 + 2, "no name made a link of its own");

    let rows = rows(&public, &folder).await;
    let by_name: BTreeSet<String> = rows.hits.iter().map(|row| percent::encode(&row.name)).collect();
    assert_eq!(by_name, links.into_iter().collect(), "rows and links say the same");
}

#[tokio::test]
async fn other_spellings_of_a_name_lead_to_it_too() {
    let public = Public::start(&[("é t", b"x")]).await;
    for path in ["%C3%A9%20t", "e%CC%81%20t", "%c3%a9%20%74"] {
        assert_eq!(public.get(&format!("/v1/shares/share/{path}"), &[]).await.body, "x", "{path}");
    }
}

#[tokio::test]
async fn a_folder_without_its_slash_is_shown_where_it_is() {
    let public = Public::start(&[("a b:c/f", b"x")]).await;
    for (path, expected) in [
        ("/", "/v1/shares/"),
        ("/?x=1", "/v1/shares/?x=1"),
        ("/v1/shares", "shares/"),
        ("/v1/shares/share", "share/"),
        ("/v1/shares/share/a%20b:c", "a%20b%3Ac/"),
        ("/v1/shares/share?limit=2", "share/?limit=2"),
    ] {
        for got in [get(&public.honest.source, path, &[]).await, public.get(path, &[]).await] {
            assert!(got.status.is_redirection() && got.body.is_empty(), "{path}");
            assert_eq!(got.header(LOCATION), expected, "{path}");
        }
    }
}

#[tokio::test]
async fn a_folder_of_five_thousand_is_listed_whole() {
    let names: Vec<String> = (0..5_000).map(|number| format!("d/{number:04}.txt")).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b"same"[..])).collect();
    let public = Public::start(&[&files[..], &[("d/sub/f", b"x")]].concat()).await;
    let expected: Vec<String> =
        names.iter().map(|name| name[2..].to_owned()).chain(["sub/".to_owned()]).collect();
    let page = public.get("/v1/shares/share/d/", &[]).await;
    assert_eq!(links(&page), expected);
    let text = std::str::from_utf8(&page.body).unwrap();
    assert!(
        text.ends_with("</html>\n") && text.contains("1 folder and 5000 files, 20 KiB"),
        "{}",
        &text[text.len() - 200..]
    );

    for limit in [1_000, 777] {
        let (mut found, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let cursor_text = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
            let page = rows(&public, &format!("/v1/shares/share/d/?limit={limit}{cursor_text}")).await;
            assert_eq!((page.total.value, page.total.exact), (5_001, true));
            assert!(page.hits.len() <= limit && !page.hits.is_empty());
            found.extend(page.hits);
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
        }
        let slash = |row: &FolderRow| if row.kind == RowKind::Folder { "/" } else { "" };
        let found_names: Vec<String> = found.iter().map(|row| row.name.clone() + slash(row)).collect();
        assert_eq!(found_names, expected, "{limit} at a time");
        assert_eq!((found[0].size, found[0].hash), (Some(4), Some(hash(b"same"))));
    }
}

#[tokio::test]
async fn rows_are_asked_for_a_page_at_a_time() {
    let public = Public::start(&[("a/1", b"1"), ("a/2", b"2"), ("b", b"3")]).await;
    let root = rows(&public, "/v1/shares/").await;
    assert_eq!(
        root.hits.iter().map(|row| (row.name.as_str(), row.kind)).collect::<Vec<_>>(),
        [("share", RowKind::Folder)]
    );
    let first = rows(&public, "/v1/shares/share/?limit=1").await;
    assert_eq!((first.hits[0].name.as_str(), first.total.value), ("a", 2));
    let cursor = first.cursor.unwrap();
    std::fs::remove_dir_all(public.honest.path("a")).unwrap();
    let second = rows(&public, &format!("/v1/shares/share/?limit=1&cursor={cursor}")).await;
    assert_eq!((second.hits[0].name.as_str(), second.cursor), ("b", None), "also when `a` has gone");
    assert_eq!(rows(&public, "/v1/shares/share/?limit=0").await.hits.len(), 1);
    assert!(rows(&public, "/v1/shares/share/?limit=999999").await.hits.len() <= 2);
    for query in ["limit=x", "limit=-1", "cursor=*", "cursor=////", "limit=1&limit=2"] {
        let path = format!("/v1/shares/share/?{query}");
        let got = public.get(&path, &[("accept", "application/json")]).await;
        assert_eq!(
            (got.status, got.error().error.code.as_str()),
            (StatusCode::BAD_REQUEST, "bad_request"),
            "{query}"
        );
    }
}

#[tokio::test]
async fn where_nothing_is_public_the_root_says_so() {
    let public = Public::start_for(Audience::Members, &[("f", b"x")], Uploads::default()).await;
    let page = public.get("/v1/shares/", &[]).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(links(&page).is_empty());
    assert!(std::str::from_utf8(&page.body).unwrap().contains("--audience public"));
    assert_eq!(rows(&public, "/v1/shares/").await.total.value, 0);
}
