//! Structure: import floors, file headers, banned names, and documents that must not go stale.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails by panicking"
)]

use std::path::{Path, PathBuf};

/// Who may import whom: downwards only, never from the same floor. The same table stands in
/// `src/lib.rs`, and a test here compares the two.
const FLOORS: &[(u8, &[&str])] = &[
    (8, &["cli", "server"]),
    (7, &["postgres"]),
    (6, &["scheduler"]),
    (5, &["engine"]),
    (4, &["auth", "values"]),
    (3, &["catalog", "jobs", "warehouse"]),
    (2, &["metastore", "storage"]),
    (
        1,
        &[
            "calendar",
            "config",
            "error",
            "parse",
            "runtime",
            "sample",
            "sqlstate",
            "telemetry",
        ],
    ),
];

/// Imports within one floor that are meant: what stands on the left may use what stands on the right.
const WITHIN_FLOOR: &[(&str, &[&str])] = &[
    ("cli", &["server"]),
    ("calendar", &["error", "sqlstate"]),
    ("catalog", &["warehouse"]),
    ("error", &["sqlstate"]),
    ("sqlstate", &["error", "runtime"]),
    ("runtime", &["error"]),
    ("config", &["error", "parse", "sqlstate"]),
    ("sample", &["error", "sqlstate"]),
    ("telemetry", &["error"]),
];

/// Words that say nothing in a file's name.
const BANNED_FILE_WORDS: &[&str] = &["util", "helper", "common", "misc", "manager"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    assert!(
        !files.is_empty(),
        "no Rust files under {}",
        folder.display()
    );
    files
}

fn floor(module: &str) -> Option<u8> {
    FLOORS
        .iter()
        .find(|(_, modules)| modules.contains(&module))
        .map(|(floor, _)| *floor)
}

/// The module of the map that a file belongs to; none for `lib.rs` and `main.rs`.
fn module_of(path: &Path) -> Option<String> {
    let inside = path.strip_prefix(root().join("src")).unwrap();
    let first = inside.iter().next().unwrap().to_string_lossy().into_owned();
    let name = first.trim_end_matches(".rs").to_owned();
    (name != "lib" && name != "main").then_some(name)
}

#[test]
fn imports_go_down() {
    let mut faults = Vec::new();
    for path in rust_files(&root().join("src")) {
        let Some(module) = module_of(&path) else {
            continue;
        };
        // Tests may reach up for fixtures.
        if path.file_stem().is_some_and(|name| name == "tests")
            || path
                .parent()
                .is_some_and(|folder| folder.ends_with("tests"))
        {
            continue;
        }
        let own = floor(&module).unwrap_or_else(|| panic!("{module} has no floor"));
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        for (number, line) in code.lines().enumerate() {
            let line = line.trim_start();
            if line.starts_with("//") {
                continue;
            }
            for used in line.split("crate::").skip(1) {
                let used: String = used
                    .chars()
                    .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
                    .collect();
                let Some(theirs) = floor(&used) else { continue };
                let meant = WITHIN_FLOOR
                    .iter()
                    .any(|(from, to)| *from == module && to.contains(&used.as_str()));
                if used != module && theirs >= own && !(theirs == own && meant) {
                    faults.push(format!(
                        "{}:{}: {module} (floor {own}) imports {used} (floor {theirs})",
                        path.display(),
                        number + 1
                    ));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_map_shows_the_same_floors() {
    let map = std::fs::read_to_string(root().join("src/lib.rs")).unwrap();
    for (floor, modules) in FLOORS {
        let line = format!("//! {floor}  {}", modules.join(" "));
        assert!(
            map.lines().any(|known| known == line),
            "src/lib.rs lacks the line {line:?}"
        );
    }
    for path in rust_files(&root().join("src")) {
        if let Some(module) = module_of(&path) {
            assert!(floor(&module).is_some(), "{module} has no floor");
        }
    }
}

#[test]
fn every_file_says_what_it_is() {
    let mut faults = Vec::new();
    for folder in [
        "src",
        "udfs/src",
        "tests",
        "udfs/tests",
        "benches",
        "udfs/benches",
    ] {
        for path in rust_files(&root().join(folder)) {
            let text = std::fs::read_to_string(&path).unwrap();
            if !text.starts_with("//! ") {
                faults.push(format!("{} has no header", path.display()));
            }
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            if BANNED_FILE_WORDS.iter().any(|word| name.contains(word)) {
                faults.push(format!("{} has a name that says nothing", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_readme_lists_every_key_of_the_configuration() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    for key in loyalhouse::config::KEYS {
        let row = format!("| `{}` | {} | {} |", key.name, key.default, key.description);
        assert!(
            readme.lines().any(|line| line == row),
            "README.md lacks the row {row}"
        );
    }
}

#[test]
fn keys_of_the_configuration_are_sorted() {
    assert!(loyalhouse::config::KEYS.is_sorted_by_key(|key| key.name));
}
