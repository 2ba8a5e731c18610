//! `preflight`: what Foreshadow would touch for each workload, who owns it, and whether the API server would let it, before anything is done.
//!
//! Called by `command`. Changes nothing: writes are dry runs, which the API server checks in full (permissions, admission, ownership) and
//! does not store. The exit code says whether every workload can be acted on.

use super::act::carrier::{self, Carrier};
use super::act::floor::{self, Kind, Step, Wish};
use super::act::refusal::Refusal;
use super::act::scaler;
use super::crd::ShadowScaler;
use super::node::settings;
use super::watched;
use crate::cli;
use comfy_table::{Table, presets::NOTHING};
use k8s_openapi::jiff::Timestamp;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

/// What was found about one workload.
#[derive(Debug)]
pub struct Finding {
    /// `namespace/name` of its ShadowScaler.
    pub workload: String,
    /// Where a floor would go, `Kind/name`.
    pub carrier: String,
    /// What stands there now, in words.
    pub stands: String,
    /// Whether the API server takes a floor there, or why not.
    pub floor: Result<(), Refusal>,
    /// Whether sizes can be changed in place, in words.
    pub resize: String,
}

/// Looks at all of them, or one; returns the exit code.
///
/// # Errors
/// When the ShadowScalers cannot be read.
pub async fn run(client: Client, namespace: Option<String>, workload: Option<&str>) -> Result<u8, kube::Error> {
    let version = client.apiserver_version().await?;
    println!("API server {}.{}: in-place resize {}.", version.major, version.minor, resize_support(&version.minor));
    let api: Api<ShadowScaler> = match &namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let scalers = api.list(&ListParams::default()).await?.items;
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(["WORKLOAD", "FLOOR GOES TO", "STANDS NOW", "CAN ACT", "RESIZE IN PLACE"]);
    let mut reasons = Vec::new();
    let mut looked = 0;
    for scaler in scalers.iter().filter(|s| workload.is_none_or(|w| w == s.name_any() || w == watched::key(*s))) {
        let finding = look(&client, scaler).await;
        looked += 1;
        let can = if finding.floor.is_ok() { "yes" } else { "no" };
        table.add_row([finding.workload.as_str(), &finding.carrier, &finding.stands, can, &finding.resize]);
        if let Err(why) = finding.floor {
            reasons.push(format!("{}: {}", finding.workload, why));
        }
    }
    if looked == 0 {
        println!("No ShadowScaler to look at.");
        return Ok(if workload.is_some() { cli::UNAVAILABLE } else { cli::OK });
    }
    println!("{table}");
    reasons.iter().for_each(|why| println!("{why}"));
    Ok(if reasons.is_empty() { cli::OK } else { cli::UNAVAILABLE })
}

fn resize_support(minor: &str) -> &'static str {
    match minor.trim_end_matches('+').parse::<u32>() {
        Ok(minor) if minor >= 35 => "is there",
        Ok(minor) if minor >= 33 => "is there (beta)",
        _ => "is not there",
    }
}

/// Looks at one.
pub async fn look(client: &Client, scaler: &ShadowScaler) -> Finding {
    let workload = watched::key(scaler);
    let namespace = scaler.namespace().unwrap_or_default();
    let target = settings::target(&scaler.spec);
    let nothing =
        |why: Refusal| Finding { workload: workload.clone(), carrier: "-".into(), stands: "-".into(), floor: Err(why), resize: "-".into() };
    let near = match carrier::neighbours(client, &namespace).await {
        Ok(near) => near,
        Err(why) => return nothing(why),
    };
    let resize = match scaler::vertical(&target, &near) {
        Some(vpa) => format!("left to VPA {vpa}"),
        None if scaler.spec.actuation.resources.enabled => "asked for".into(),
        None => "not asked for".into(),
    };
    let place = match scaler::place(&target, &near) {
        Ok(place) => place,
        Err(why) => return Finding { resize, ..nothing(why) },
    };
    let carrier = Carrier::new(client, &namespace, &target, place);
    let (stands, floor) = try_floor(&carrier, &workload).await;
    Finding { workload, carrier: carrier.title(), stands, floor, resize }
}

/// Tries a floor one above what stands, as a dry run.
async fn try_floor(carrier: &Carrier, workload: &str) -> (String, Result<(), Refusal>) {
    let seen = match carrier.read().await {
        Ok(seen) => seen,
        Err(why) => return ("-".into(), Err(why)),
    };
    let value = seen.field.value.map_or_else(|| "unset".into(), |v| v.to_string());
    let stands = match &seen.field.mark {
        Some(mark) => format!("{value}, ours until {}", mark.expires),
        None => value,
    };
    let above = seen.field.value.unwrap_or(0).saturating_add(1);
    let most = seen.field.most.unwrap_or(u32::MAX);
    if carrier.kind() != Kind::Scale && above > most {
        return (format!("{stands}, the maximum"), Ok(()));
    }
    let term = seen.field.mark.as_ref().map_or(0, |m| m.term);
    let wish = Wish { floor: Some(above), ttl_s: 60.0, reason: "preflight".into(), scaler: workload.to_owned(), term };
    let tried = match floor::step(carrier.kind(), &seen.field, &wish, Timestamp::now()) {
        Ok(Step::Keep | Step::Forget) => Ok(()),
        Ok(step) => carrier.carry(&step, &seen, true).await.map(|_| ()),
        Err(why) => Err(why),
    };
    (stands, tried)
}
