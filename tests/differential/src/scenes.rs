//! All scenes, one file a group.

mod basics;
mod bodies;
mod edge;
mod headers;
mod limits;
mod logs;
mod mirrors;
mod refused;
mod retries;
mod rewrites;
mod routing;

use crate::scene::Scene;

/// Every scene, group by group.
pub fn all() -> Vec<Scene> {
    let groups: [(&'static str, Vec<Scene>); 11] = [
        ("basics", basics::scenes()),
        ("headers", headers::scenes()),
        ("rewrites", rewrites::scenes()),
        ("routing", routing::scenes()),
        ("bodies", bodies::scenes()),
        ("edge", edge::scenes()),
        ("refused", refused::scenes()),
        ("limits", limits::scenes()),
        ("logs", logs::scenes()),
        ("retries", retries::scenes()),
        ("mirrors", mirrors::scenes()),
    ];
    groups.into_iter().flat_map(|(group, scenes)| scenes.into_iter().map(move |s| Scene { group, ..s })).collect()
}
