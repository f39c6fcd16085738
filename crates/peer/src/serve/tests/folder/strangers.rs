//! What nobody gets: what is not public, what is not shared, and anything for other sites' pages.

use super::*;

#[tokio::test]
async fn a_path_that_climbs_or_hides_something_finds_nothing() {
    let public = Public::start(&[("f", b"x"), ("d/f", b"y")]).await;
    std::fs::write(public.honest.folder.parent().unwrap().join("outside"), b"secret").unwrap_or_default();
    let absent = all_of(&public.get("/v1/shares/share/absent", &[]).await);
    assert_eq!(absent.0, StatusCode::NOT_FOUND);
    let (long, deep) = ("a".repeat(5_000), "/a".repeat(100));
    let paths = [
        "/v1/shares/../shares/share/f",
        "/v1/shares/share/../share/f",
        "/v1/shares/share/d/../f",
        "/v1/shares/share/%2e%2e/share/f",
        "/v1/shares/share/..%2ff",
        "/v1/shares/share/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/v1/shares/share/..\\f",
        "/v1/shares/share/..%5cf",
        "/v1/shares/share/./f",
        "/v1/shares/share/%2e/f",
        "/v1/shares/share//f",
        "/v1/shares//share/f",
        "/v1/shares/share/f/",
        "/v1/shares/share/f//",
        "/v1/shares/share/f/x",
        "/v1/shares/share%2ff",
        "/v1/shares/share/d%2ff",
        "/v1/shares/share/d%2f",
        "/v1/shares/share/f%00",
        "/v1/shares/share/f%00.txt",
        "/v1/shares/share/f%0d%0aSet-Cookie:x",
        "/v1/shares/share/f%20",
        "/v1/shares/share/F",
        "/v1/shares/share/%",
        "/v1/shares/share/%zz",
        "/v1/shares/share/%ff%fe",
        "/v1/shares/share/%c0%ae%c0%ae/f",
        "/v1/shares/share/%252e%252e/f",
        "/v1/shares/%2fetc/passwd",
        "/v1/shares//etc/passwd",
        "/v1/shares/share/.git",
        "/v1/shares/SHARE/f",
        &format!("/v1/shares/share/{long}"),
        &format!("/v1/shares/share{deep}"),
    ];
    for path in paths {
        let got = all_of(&public.get(path, &[]).await);
        assert_eq!(got, absent, "{path}");
        assert_eq!(all_of(&get(&public.honest.source, path, &[]).await), absent, "{path}, with TLS");
    }
}

#[tokio::test]
async fn what_is_not_public_is_not_there_byte_for_byte() {
    let hidden =
        Public::start_for(Audience::Members, &[("f", b"x"), ("d/g", b"y")], Uploads::default()).await;
    for accept in ["*/*", "text/html", "application/json"] {
        for below in ["", "/", "/f", "/f/", "/d", "/d/", "/d/g", "/d/?cursor=x"] {
            for method in [Method::GET, Method::HEAD] {
                let headers = [("accept", accept), ("range", "bytes=0-0")];
                let ask = |share: &str| {
                    let path = format!("/v1/shares/{share}{below}");
                    let method = method.clone();
                    let hidden = &hidden;
                    async move { all_of(&hidden.ask(method, &path, &headers).await) }
                };
                let (forbidden, absent) = (ask("share").await, ask("other").await);
                assert_eq!(forbidden.0, StatusCode::NOT_FOUND, "{below}");
                assert_eq!(forbidden, absent, "{below} {accept}");
            }
        }
    }
    let by_hash = get(&hidden.honest.source, &format!("/v1/blobs/{}", hash(b"x")), &[]).await;
    assert_eq!(by_hash.body, "x", "peers fetch it by its content all the same");
}

#[tokio::test]
async fn without_tls_there_are_folders_and_nothing_else() {
    let public = Public::start(&[("f", b"x")]).await;
    let hash = hash(b"x");
    for path in [
        format!("/v1/blobs/{hash}"),
        format!("/v1/blobs/{hash}/pieces"),
        format!("/v1/blobs/{hash}/have"),
        "/v1/blobs".to_owned(),
        "/v1".to_owned(),
        "/v1/sharesx".to_owned(),
        "/etc/passwd".to_owned(),
    ] {
        for method in [Method::GET, Method::POST] {
            assert_eq!(public.ask(method, &path, &[]).await.status, StatusCode::NOT_FOUND, "{path}");
        }
    }
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "MKCOL"] {
        let method: Method = method.parse().unwrap();
        for path in ["/", "/v1/shares/", "/v1/shares/share/f"] {
            let got = public.ask(method.clone(), path, &[]).await;
            assert_eq!((got.status, got.header(ALLOW)), (StatusCode::METHOD_NOT_ALLOWED, "GET, HEAD"));
        }
    }
    assert_eq!(std::fs::read(public.honest.path("f")).unwrap(), b"x");
}

#[tokio::test]
async fn a_name_that_is_not_this_machines_gets_nothing() {
    let public = Public::start(&[("f", b"x")]).await;
    for (host, expected) in [
        ("localhost", 200),
        ("127.0.0.1:1", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("", 421),
    ] {
        let path = "/v1/shares/share/f";
        let got = ask_over(&mut public.connect().await, Method::GET, path, &[("host", host)]).await;
        assert_eq!(got.status, expected, "{host}");
    }
    let mut stream = TcpStream::connect(public.address).await.unwrap();
    let request = "GET http://evil.example/v1/shares/share/f HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 421");
}

#[tokio::test]
async fn another_sites_page_gets_nothing_but_may_link_here() {
    let public = Public::start(&[("f.png", b"x"), ("d/g", b"y")]).await;
    let host = public.address.to_string();
    let mut sender = public.connect().await;
    let sites = ["none", "same-origin", "same-site", "cross-site"];
    let modes = ["navigate", "no-cors", "cors", "same-origin"];
    let dests = ["document", "iframe", "embed", "image", "video", "script", "empty"];
    let mut refused = 0;
    for path in ["/", "/v1/shares/", "/v1/shares/share/f.png", "/v1/shares/share/none"] {
        for site in sites {
            for mode in modes {
                for dest in dests {
                    let headers = [
                        ("host", &*host),
                        ("sec-fetch-site", site),
                        ("sec-fetch-mode", mode),
                        ("sec-fetch-dest", dest),
                    ];
                    let got = ask_over(&mut sender, Method::GET, path, &headers).await;
                    let is_welcome =
                        matches!(site, "none" | "same-origin") || (mode, dest) == ("navigate", "document");
                    assert_eq!(got.status != StatusCode::FORBIDDEN, is_welcome, "{path} {headers:?}");
                    assert!(!got.headers.contains_key("access-control-allow-origin"));
                    assert_eq!(got.headers["cross-origin-resource-policy"], "same-origin");
                    refused += usize::from(!is_welcome);
                }
            }
        }
    }
    assert_eq!(refused, 4 * 2 * (4 * 7 - 1));
    for (origin, expected) in [("http://evil.example", 403), ("null", 403), (&*format!("http://{host}"), 200)]
    {
        let headers = [("host", &*host), ("origin", origin)];
        let got = ask_over(&mut sender, Method::GET, "/v1/shares/", &headers).await;
        assert_eq!(got.status, expected, "{origin}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_without_tls_is_cut_too() {
    let public = Public::start(&[("f", b"x")]).await;
    let mut silent = TcpStream::connect(public.address).await.unwrap();
    let mut slow = TcpStream::connect(public.address).await.unwrap();
    slow.write_all(b"GET /v1/shares/ HTTP/1.1\r\nHost: local").await.unwrap();
    for stream in [&mut silent, &mut slow] {
        let mut rest = Vec::new();
        let patience = limits::HEADER_TIMEOUT + Duration::from_secs(5);
        assert!(tokio::time::timeout(patience, stream.read_to_end(&mut rest)).await.is_ok());
    }
}
