//! Broken files and exactly what is said about them. `UPDATE_GOLDEN=1 cargo test` writes the expectations anew; read the difference.

use std::fs;

use crate::support::{load_file, root};

#[test]
fn every_broken_file_says_what_is_wrong_and_where() {
    let directory = "proxy/tests/config/broken";
    let mut files: Vec<_> = fs::read_dir(root().join(directory)).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "yaml"));
    files.sort();
    assert!(files.len() >= 20);
    let mut differing = Vec::new();
    for file in files {
        let name = format!("{directory}/{}", file.file_name().unwrap().to_string_lossy());
        let said = match load_file(&name) {
            Ok(_) => panic!("{name} was accepted"),
            Err(problems) => format!("{problems}\n"),
        };
        let golden = file.with_extension("txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &said).unwrap();
        }
        if fs::read_to_string(&golden).unwrap_or_default() != said {
            differing.push(said);
        }
    }
    assert!(differing.is_empty(), "said instead of what stands in the .txt files:\n{}", differing.join("\n"));
}

#[test]
fn problems_can_be_read_by_machines() {
    let problems = load_file("proxy/tests/config/broken/unknown_cluster.yaml").unwrap_err();
    assert_eq!(problems.count(), 1);
    let problem = problems.iter().next().unwrap();
    assert_eq!((problem.line, problem.column), (20, 35));
    assert!(problem.field.ends_with("routes[0].route.cluster"), "{}", problem.field);
}
