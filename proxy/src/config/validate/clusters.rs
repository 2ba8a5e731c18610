//! Cluster names -> indices, so that every reference resolves while the configuration is read.

use std::collections::HashMap;

use crate::config::decode::Value;
use crate::config::model::ClusterId;
use crate::config::raw::Kind;
use crate::nearest::nearest;

/// The clusters of a configuration by name.
pub struct Names {
    ids: HashMap<String, ClusterId>,
    count: usize,
}

impl Names {
    /// Collects the names, refusing one that stands twice.
    pub fn collect(clusters: &[Value<'_>]) -> Self {
        let mut ids: HashMap<String, ClusterId> = HashMap::new();
        for (id, cluster) in clusters.iter().enumerate() {
            let Some(name) = written_name(cluster) else { continue };
            if let Some(first) = ids.get(&name) {
                let first = cluster.sink().name_place(clusters[*first].pos(), cluster.pos());
                let what = format!("a cluster named `{name}` stands on {first} already");
                cluster.problem(what, "expected names that are unique");
                continue;
            }
            ids.insert(name, id);
        }
        Self { ids, count: clusters.len() }
    }

    /// How many clusters there are, the unnamed and the doubled included.
    pub fn len(&self) -> usize {
        self.count
    }

    /// The cluster of which this value is the name.
    pub fn resolve(&self, value: &Value<'_>) -> Option<ClusterId> {
        self.resolve_key(&value.name()?, value)
    }

    /// The cluster of this name; `value` is where to report that there is none.
    pub fn resolve_key(&self, name: &str, value: &Value<'_>) -> Option<ClusterId> {
        if let Some(id) = self.ids.get(name) {
            return Some(*id);
        }
        let right = match nearest(name, self.ids.keys().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None if self.ids.is_empty() => "there are no clusters in static_resources".to_owned(),
            None => "expected the name of a cluster in static_resources".to_owned(),
        };
        value.problem(format!("there is no cluster `{name}`"), right);
        None
    }
}

/// The name without a word about what is wrong with it; reading the cluster says that.
fn written_name(cluster: &Value<'_>) -> Option<String> {
    let Kind::Map(entries) = &cluster.node().kind else { return None };
    let name = entries.iter().find(|e| &*e.key == "name")?;
    match &name.value.kind {
        Kind::Plain(text) | Kind::Quoted(text) => Some(text.to_string()),
        _ => None,
    }
}
