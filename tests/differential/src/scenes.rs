//! All scenes, one file a group.

mod basics;
mod bodies;
mod edge;
mod headers;
mod limits;
mod mirrors;
mod refused;
mod retries;
mod rewrites;
mod routing;

use crate::error::Error;
use crate::scene::Scene;

/// Every scene, group by group.
pub fn all() -> Vec<Scene> {
    let groups: [(&'static str, Vec<Scene>); 10] = [
        ("basics", basics::scenes()),
        ("headers", headers::scenes()),
        ("rewrites", rewrites::scenes()),
        ("routing", routing::scenes()),
        ("bodies", bodies::scenes()),
        ("edge", edge::scenes()),
        ("refused", refused::scenes()),
        ("limits", limits::scenes()),
        ("retries", retries::scenes()),
        ("mirrors", mirrors::scenes()),
    ];
    groups.into_iter().flat_map(|(group, scenes)| scenes.into_iter().map(move |s| Scene { group, ..s })).collect()
}

/// Those with these names or of these groups; all when none is named.
///
/// # Errors
/// When nothing has such a name.
pub fn chosen(names: &[String]) -> Result<Vec<Scene>, Error> {
    let all = all();
    if let Some(unknown) = names.iter().find(|n| !all.iter().any(|s| s.name == **n || s.group == **n)) {
        return Err(Error::NoScene(unknown.clone()));
    }
    Ok(all.into_iter().filter(|s| names.is_empty() || names.iter().any(|n| s.name == *n || s.group == *n)).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_deviations_name_scenes() {
        let all = super::all();
        let names: BTreeSet<_> = all.iter().map(|s| s.name).collect();
        assert_eq!(names.len(), all.len());
        for deviation in crate::deviations::ALL {
            assert!(names.contains(deviation.scene), "no scene is called `{}`", deviation.scene);
        }
    }
}
