//! What the door counts, and numbers as Prometheus reads them (text exposition format 0.0.4).
//!
//! Invariant: labels are bounded. A route is the pattern it was registered by, never a path that somebody sent; a method is
//! one of a few; a status is what a handler of ours gave.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::{Method, StatusCode};

/// Upper ends of the buckets of durations, in seconds: a search takes milliseconds, a batch with its sync some tens.
const BUCKETS: [(f64, &str); 11] = [
    (0.000_5, "0.0005"),
    (0.001, "0.001"),
    (0.002_5, "0.0025"),
    (0.005, "0.005"),
    (0.01, "0.01"),
    (0.025, "0.025"),
    (0.05, "0.05"),
    (0.1, "0.1"),
    (0.25, "0.25"),
    (1.0, "1"),
    (5.0, "5"),
];

/// A route where none matched.
const NO_ROUTE: &str = "none";

/// What the door counts.
#[derive(Default)]
pub(crate) struct Metrics {
    routes: Mutex<BTreeMap<Box<str>, Route>>,
}

#[derive(Default)]
struct Route {
    answers: BTreeMap<(&'static str, u16), u64>,
    durations: BTreeMap<&'static str, Histogram>,
}

#[derive(Default)]
struct Histogram {
    /// Of each bucket alone; those above the last are in `count` only.
    buckets: [u64; BUCKETS.len()],
    count: u64,
    sum: Duration,
}

impl Metrics {
    /// A request was answered, to the beginning of its body, in so long.
    pub(crate) fn answered(&self, route: Option<&str>, method: &Method, status: StatusCode, took: Duration) {
        let route = route.unwrap_or(NO_ROUTE);
        let method = name_of(method);
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        if !routes.contains_key(route) {
            routes.insert(route.into(), Route::default());
        }
        let Some(route) = routes.get_mut(route) else { return };
        *route.answers.entry((method, status.as_u16())).or_default() += 1;
        route.durations.entry(method).or_default().add(took);
    }

    /// Writes all of it.
    pub(crate) fn write(&self, to: &mut Exposition) {
        let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let name = "peerage_http_requests_total";
        to.family(name, Type::Counter, "Requests answered, by route, method and status.");
        for (route, counted) in &*routes {
            for ((method, status), count) in &counted.answers {
                let status = status.to_string();
                to.sample(name, &[("route", route), ("method", method), ("status", &status)], count);
            }
        }
        let name = "peerage_http_request_duration_seconds";
        to.family(name, Type::Histogram, "From a request's headers to those of its answer.");
        for (route, counted) in &*routes {
            for (method, histogram) in &counted.durations {
                histogram.write(to, name, &[("route", route), ("method", method)]);
            }
        }
    }
}

/// Who asks may call a method anything.
fn name_of(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        _ => "OTHER",
    }
}

impl Histogram {
    fn add(&mut self, took: Duration) {
        let secs = took.as_secs_f64();
        if let Some(bucket) = BUCKETS.iter().position(|(end, _)| secs <= *end) {
            self.buckets[bucket] += 1;
        }
        self.count += 1;
        self.sum += took;
    }

    fn write(&self, to: &mut Exposition, name: &str, labels: &[(&str, &str)]) {
        let bucket_name = format!("{name}_bucket");
        let mut below = 0;
        let ends = BUCKETS.iter().map(|(_, text)| *text).zip(self.buckets);
        for (end, count) in ends.chain([("+Inf", self.count - self.buckets.iter().sum::<u64>())]) {
            below += count;
            to.sample(&bucket_name, &[labels, &[("le", end)]].concat(), below);
        }
        to.sample(&format!("{name}_sum"), labels, self.sum.as_secs_f64());
        to.sample(&format!("{name}_count"), labels, self.count);
    }
}

/// What a family of numbers is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Type {
    /// Goes up and down.
    Gauge,
    /// Only grows while the process lives.
    Counter,
    /// Durations by buckets.
    Histogram,
}

/// Numbers in the making.
#[derive(Default)]
pub(crate) struct Exposition(String);

impl Exposition {
    /// The samples that follow have this name.
    pub(crate) fn family(&mut self, name: &str, kind: Type, help: &str) {
        let kind = match kind {
            Type::Gauge => "gauge",
            Type::Counter => "counter",
            Type::Histogram => "histogram",
        };
        // Writing to a string does not fail.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// One number.
    pub(crate) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (position, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
            let before = if position == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{before}{label}=\"{text}\"");
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{end} {value}");
    }

    /// A family of one number without labels.
    pub(crate) fn single(&mut self, name: &str, kind: Type, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    /// All of it.
    pub(crate) fn into_text(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_what_they_were() {
        let metrics = Metrics::default();
        let millis = Duration::from_millis;
        metrics.answered(Some("/x/{id}"), &Method::GET, StatusCode::OK, millis(2));
        metrics.answered(Some("/x/{id}"), &Method::GET, StatusCode::OK, millis(500));
        metrics.answered(Some("/x/{id}"), &Method::GET, StatusCode::NOT_FOUND, millis(60_000));
        metrics.answered(None, &Method::from_bytes(b"BREW").unwrap(), StatusCode::NOT_FOUND, millis(0));
        let mut text = Exposition::default();
        metrics.write(&mut text);
        let text = text.into_text();
        for line in [
            r#"peerage_http_requests_total{route="/x/{id}",method="GET",status="200"} 2"#,
            r#"peerage_http_requests_total{route="/x/{id}",method="GET",status="404"} 1"#,
            r#"peerage_http_requests_total{route="none",method="OTHER",status="404"} 1"#,
            r#"peerage_http_request_duration_seconds_bucket{route="/x/{id}",method="GET",le="0.001"} 0"#,
            r#"peerage_http_request_duration_seconds_bucket{route="/x/{id}",method="GET",le="0.0025"} 1"#,
            r#"peerage_http_request_duration_seconds_bucket{route="/x/{id}",method="GET",le="5"} 2"#,
            r#"peerage_http_request_duration_seconds_bucket{route="/x/{id}",method="GET",le="+Inf"} 3"#,
            r#"peerage_http_request_duration_seconds_sum{route="/x/{id}",method="GET"} 60.502"#,
            r#"peerage_http_request_duration_seconds_count{route="/x/{id}",method="GET"} 3"#,
        ] {
            assert!(text.lines().any(|has| has == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn a_label_can_not_end_its_line() {
        let mut text = Exposition::default();
        text.sample("x", &[("a", "b\"c\\d\ne")], 1);
        assert_eq!(text.into_text(), "x{a=\"b\\\"c\\\\d\\ne\"} 1\n");
    }
}
