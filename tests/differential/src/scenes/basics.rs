//! Plain requests and their answers.

use crate::scene::{Role, Scene, h2_get, h2_request, scene};

pub(super) fn scenes() -> Vec<Scene> {
    vec![
        scene("a plain request").get("/a?b=c"),
        scene("two requests on one connection").get("/one").get("/two"),
        scene("a body by length").post("/in", "some text"),
        scene("an HTTP/2 request").step(h2_get("/two").into()),
        scene("an HTTP/2 request with a body").step(h2_request("POST", "/two").body("text").into()),
        scene("an HTTP/2 backend").h2(Role::App).get("/up"),
        scene("a copy").mirrored("").post("/copied", "body").until(Role::Shadow, 1),
    ]
}
