//! Routes are found by path and method, and charge the statuses that they say.

use super::*;

fn route(index: u16, pattern: &str, methods: &[&str]) -> Route {
    let methods = match methods {
        [] => Methods::All,
        list => Methods::These(list.iter().map(|m| m.parse().expect("a method")).collect()),
    };
    Route {
        id: RouteId(index),
        pattern: pattern.into(),
        methods,
        upstream: UpstreamId(0),
        cost: Cost::default(),
        measures: [].into(),
        requires: FeatureSet::default(),
        charge_on: StatusSet::default(),
        rate: None,
        public: false,
        extras: None,
    }
}

fn table(patterns: &[(&str, &[&str])]) -> Result<RouteTable, Vec<(usize, RouteConflict)>> {
    let routes = patterns.iter().zip(0..).map(|((p, m), i)| route(i, p, m)).collect();
    RouteTable::build(routes, None)
}

fn found(table: &RouteTable, method: &str, path: &str) -> String {
    let path = NormalPath::parse(path).expect("a path");
    match table.find(&path, &method.parse().expect("a method")) {
        Found::Route(route) => route.pattern.to_string(),
        Found::MethodNotAllowed(allow) => format!("405 {allow}"),
        Found::Ambiguous => "400".into(),
        Found::Nothing => "404".into(),
    }
}

#[test]
fn the_most_specific_route_wins_whatever_its_place() {
    let table = table(&[
        ("/{*rest}", &[]),
        ("/export/{format}", &[]),
        ("/export/csv", &[]),
        ("/users/{id}", &[]),
        ("/users/{name}/posts", &[]),
    ])
    .expect("no conflict");
    for (path, pattern) in [
        ("/export/csv", "/export/csv"),
        ("/export/csv/", "/export/csv"),
        ("/export/pdf", "/export/{format}"),
        ("/export/csv/x", "/{*rest}"),
        ("/users/7/posts", "/users/{name}/posts"),
        ("/users/7", "/users/{id}"),
        ("/else", "/{*rest}"),
    ] {
        assert_eq!(found(&table, "GET", path), pattern, "{path}");
    }
}

#[test]
fn a_method_never_falls_through_to_another_pattern() {
    let table = table(&[("/a/{x}", &[]), ("/a/b", &["GET"]), ("/a/b", &["POST"])]).expect("no conflict");
    assert_eq!(found(&table, "HEAD", "/a/b"), "/a/b");
    assert_eq!(found(&table, "DELETE", "/a/b"), "405 GET, HEAD, POST");
    assert_eq!(found(&table, "GET", "/A/b"), "404");
}

#[test]
fn a_careless_server_never_sees_another_route() {
    let table = table(&[("/a/{x}", &[]), ("/a/b", &[]), ("/{*rest}", &[])]).expect("no conflict");
    for (path, pattern) in [
        ("/a/c;d", "/a/{x}"),
        ("/a/b;d", "400"),
        ("/a/b%3bd", "400"),
        ("/a/b%3Fd", "400"),
        ("/a/c%3Fd", "/a/{x}"),
        ("/a;/b", "400"),
        ("/;/a/b", "400"),
        ("/c;d/e", "/{*rest}"),
    ] {
        assert_eq!(found(&table, "GET", path), pattern, "{path}");
    }
}

#[test]
fn two_equal_routes_are_a_conflict() {
    for twin in ["/a/{y}", "/a/{x}/"] {
        let conflicts = table(&[("/a/{x}", &["GET", "PUT"]), (twin, &["GET"])]).expect_err(twin);
        assert_eq!(conflicts, [(1, RouteConflict::Same("/a/{x}".into()))]);
    }
    assert!(table(&[("/a/{x", &[])]).is_err());
}

#[test]
fn charged_statuses_are_classes_and_single_ones() {
    let set = StatusSet::new([2], vec![404]);
    assert!(set.contains(200) && set.contains(299) && set.contains(404));
    assert!(!set.contains(304) && !set.contains(400) && !set.contains(101) && !set.contains(999));
    assert!(StatusSet::default().contains(304));
    assert!(set.contains_grpc(0) && !set.contains_grpc(8));
    let refusals = set.with_grpc([8, 16]);
    assert!(!refusals.contains_grpc(0) && refusals.contains_grpc(8) && refusals.contains_grpc(16));
}
