//! `foreshadow-agent inject`: manifests in, manifests with sidecars out (or, with `--remove`, without); what was done goes to standard error.

use super::documents::{Report, inject_all, remove_all};
use super::{Families, Native, Outcome, Settings};
use crate::cli;
use crate::cli::cluster::{Inject, InjectSettings};
use crate::kubernetes::crd::shadow::Methods;
use crate::kubernetes::server;
use crate::kubernetes::yaml::Unreadable;
use std::io::{Read as _, Write as _};
use std::path::Path;

/// Runs the command; the exit code.
pub fn command(args: &Inject) -> u8 {
    // What is taken out needs no server to be asked.
    let settings = (!args.remove).then(|| settings(&args.settings, native(args)));
    let mut all = String::new();
    for file in &args.files {
        let text = match read(file) {
            Ok(text) => text,
            Err(why) => return fail(&format!("{}: {why}", file.display()), cli::DATA),
        };
        match changed(&text, settings.as_ref()) {
            Ok(text) => {
                if !all.is_empty() {
                    all.push_str("---\n");
                }
                all.push_str(&text);
            }
            Err(why) => return fail(&format!("{}: {why}", file.display()), cli::DATA),
        }
    }
    match std::io::stdout().lock().write_all(all.as_bytes()) {
        Ok(()) => cli::OK,
        // The reader has seen enough.
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => cli::OK,
        Err(e) => fail(&format!("standard output: {e}"), cli::UNAVAILABLE),
    }
}

/// The text with sidecars, or without them when there are no settings; tells what was done.
fn changed(text: &str, settings: Option<&Settings>) -> Result<String, Unreadable> {
    let Some(settings) = settings else {
        let (text, reports) = remove_all(text)?;
        for (object, had) in reports {
            eprintln!("{object}: {}", if had { "sidecar taken out" } else { "has no sidecar" });
        }
        return Ok(text);
    };
    let (text, reports) = inject_all(text, settings)?;
    reports.iter().for_each(tell);
    Ok(text)
}

/// The settings that the arguments give.
pub fn settings(args: &InjectSettings, native: Native) -> Settings {
    Settings {
        proxy_image: args.proxy_image.clone(),
        init_image: args.init_image.clone().unwrap_or_else(|| init_image(&args.proxy_image)),
        pull_policy: args.image_pull_policy.clone(),
        native,
        families: args.ip_families.unwrap_or(Families::V4),
        takeover: args.takeover,
        methods: Methods::Safe,
    }
}

/// `registry/foreshadow-proxy:1` -> `registry/foreshadow-init:1`; of another name, with `-init` behind it.
fn init_image(proxy: &str) -> String {
    let (path, name) = proxy.rsplit_once('/').map_or(("", proxy), |(path, name)| (path, name));
    // A digest is one image's alone.
    let name = name.split('@').next().unwrap_or(name);
    let at = name.find(':').unwrap_or(name.len());
    let slash = if path.is_empty() { "" } else { "/" };
    let own = if &name[..at] == "foreshadow-proxy" { "foreshadow-init".to_owned() } else { format!("{}-init", &name[..at]) };
    format!("{path}{slash}{own}{}", &name[at..])
}

/// Where sidecars can be native: by the version that was given, else the server's, else as in every release that is still maintained.
fn native(args: &Inject) -> Native {
    let version = args.kubernetes_version.or_else(|| match server::discover_version() {
        Ok(version) => Some(version),
        Err(why) => {
            eprintln!("foreshadow-agent: Kubernetes 1.33 or newer is assumed ({why}); --kubernetes-version says otherwise");
            None
        }
    });
    version.map_or(Native::Always, server::Version::native_sidecars)
}

fn read(file: &Path) -> std::io::Result<String> {
    if file != Path::new("-") {
        return std::fs::read_to_string(file);
    }
    let mut text = String::new();
    std::io::stdin().lock().read_to_string(&mut text).map(|_| text)
}

fn tell(report: &Report) {
    let object = &report.object;
    match &report.outcome {
        Outcome::Injected(warnings) => {
            eprintln!("{object}: injected");
            warnings.iter().for_each(|w| eprintln!("{object}: warning: {w}"));
        }
        Outcome::Already => eprintln!("{object}: has a sidecar already"),
        Outcome::Skipped(why) => eprintln!("{object}: left as it is: {why}"),
    }
}

fn fail(text: &str, code: u8) -> u8 {
    eprintln!("foreshadow-agent: {text}");
    code
}

#[cfg(test)]
mod tests {
    use super::init_image;

    #[test]
    fn the_init_image_stands_beside_the_proxys() {
        for (proxy, init) in [
            ("foreshadow-proxy", "foreshadow-init"),
            ("foreshadow-proxy:1.2", "foreshadow-init:1.2"),
            ("reg:5000/x/proxy:1", "reg:5000/x/proxy-init:1"),
            ("reg/foreshadow-proxy:1@sha256:00", "reg/foreshadow-init:1"),
        ] {
            assert_eq!(init_image(proxy), init);
        }
    }
}
