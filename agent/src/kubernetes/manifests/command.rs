//! `foreshadow-agent manifests`: the installation on standard output, or the files of manifests/ in a directory.

use super::{Values, files, monitoring, render, tree};
use crate::cli;
use crate::cli::cluster::{Format, Manifests};
use std::io::Write as _;

/// Runs the command; the exit code.
pub fn command(args: &Manifests) -> u8 {
    match (args.format, &args.output) {
        (Format::Plain, None) => print(args),
        (Format::Plain, Some(_)) => fail("--output goes with --format kustomize or helm; plain YAML goes to standard output", cli::USAGE),
        (_, None) => fail("--format kustomize and helm are directories: say where with --output DIR", cli::USAGE),
        (format, Some(directory)) => {
            let prefix = if format == Format::Helm { "helm/" } else { "kustomize/" };
            for (path, text) in tree().into_iter().filter_map(|(p, t)| Some((p.strip_prefix(prefix)?.to_owned(), t))) {
                let file = directory.join(path);
                let made = file.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(&file, text));
                if let Err(why) = made {
                    return fail(&format!("{}: {why}", file.display()), cli::UNAVAILABLE);
                }
            }
            cli::OK
        }
    }
}

fn print(args: &Manifests) -> u8 {
    let values = Values {
        namespace: args.namespace.clone(),
        registry: args.registry.clone(),
        tag: args.tag.clone(),
        pull_policy: args.image_pull_policy.clone(),
        replicas: args.replicas.to_string(),
    };
    let mut objects: Vec<_> = files(&values).into_iter().flat_map(|f| f.1).collect();
    if args.monitoring {
        objects.extend(monitoring(&values));
    }
    let text = render::file(&objects);
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => fail(&format!("standard output: {e}"), cli::UNAVAILABLE),
        _ => cli::OK,
    }
}

fn fail(text: &str, code: u8) -> u8 {
    eprintln!("foreshadow-agent: {text}");
    code
}
