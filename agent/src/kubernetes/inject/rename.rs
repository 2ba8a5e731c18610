//! Taken ports' names go to the sidecar; the application's ports get others.

use super::app_containers;
use super::takeover::Plan;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Gives the taken ports' names to the sidecar: the application's get another one.
pub fn hand_over_names(pod: &mut Value, plan: &Plan) {
    let mut used: BTreeSet<String> = BTreeSet::new();
    for (_, container) in app_containers(pod) {
        let ports = container.get("ports").and_then(Value::as_array).into_iter().flatten();
        used.extend(ports.filter_map(|p| p.get("name")?.as_str().map(str::to_owned)));
    }
    for taken in &plan.ports {
        let (Some(index), Some(name)) = (taken.container, &taken.name) else { continue };
        let given = free_name(name, &mut used);
        let Some(ports) = pod.pointer_mut(&format!("/spec/containers/{index}/ports")).and_then(Value::as_array_mut) else { continue };
        for port in ports.iter_mut().filter(|p| p.get("name").and_then(Value::as_str) == Some(name)) {
            port["name"] = json!(given);
        }
    }
}

/// `http` -> `app-http`, within the 15 letters that a port's name may have.
fn free_name(name: &str, used: &mut BTreeSet<String>) -> String {
    let cut = |text: String| text.chars().take(15).collect::<String>().trim_end_matches('-').to_owned();
    let mut given = cut(format!("app-{name}"));
    for n in 1..100 {
        if !used.contains(&given) {
            break;
        }
        given = cut(format!("app{n}-{name}"));
    }
    used.insert(given.clone());
    given
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_names_fit_and_stay_apart() {
        let mut used = BTreeSet::from(["app-http".to_owned()]);
        assert_eq!(free_name("http", &mut used), "app1-http");
        let long = free_name("a-very-long-one", &mut used);
        assert!(long.len() <= 15 && !long.ends_with('-'), "{long}");
    }
}
