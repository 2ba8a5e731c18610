//! Paths: matched, rewritten and normalised. What comes out is a path again, and a normalised one stays as it is.

use foreshadow_proxy::config::model::{HttpManager, RouteAction, RuntimeFraction};
use foreshadow_proxy::http::path::{Outcome, normalize, rooted};
use foreshadow_proxy::router::{self, Circumstances, Found, rewrite};
use http::{Request, Uri};

struct Always;

impl Circumstances for Always {
    fn takes_in(&self, _: &RuntimeFraction) -> bool {
        true
    }

    fn cluster(&self, _: &str) -> Option<usize> {
        None
    }
}

thread_local! {
    static MANAGER: HttpManager = super::manager();
}

/// Takes bytes as a request target.
pub fn fuzz(data: &[u8]) {
    let Ok(uri) = Uri::try_from(data) else { return };
    let uri = rooted(&uri).unwrap_or(uri);
    MANAGER.with(|manager| {
        let path = uri.path_and_query().map_or("/", |p| p.as_str());
        assert!(path.starts_with(['/', '*']), "{path:?} is no path");
        if let Outcome::Changed(normal) = normalize(manager, path) {
            assert!(normal.starts_with('/'), "{path:?} becomes {normal:?}");
            let again = normalize(manager, &normal);
            assert!(
                !matches!(again, Outcome::Changed(ref twice) if *twice != normal),
                "{path:?} becomes {normal:?}, and that something else"
            );
        }
        let Ok(request) = Request::get(uri.clone()).body(()) else { return };
        let (mut head, ()) = request.into_parts();
        for host in ["example.com", "a.example.com", ""] {
            let Found::Route(route) = router::find(&manager.routes, &head, host, &Always) else { continue };
            if let RouteAction::Forward(to) = &route.action {
                let routed = rewrite::path(&route.matching.path, to, &mut head);
                assert!(routed.is_err() || head.uri.path_and_query().is_some_and(|p| p.as_str().starts_with(['/', '*'])), "{path:?}");
            }
        }
    });
}
