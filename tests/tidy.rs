//! Rules of the style guide that a program can hold: who may import whom, what the pure parts do without, sizes and names.

#[cfg(test)]
mod rules {
    use std::fs;
    use std::path::{Path, PathBuf};

    /// A crate's folder, the member crates that it may import, and the crates that it must not know.
    const EDGES: [(&str, &[&str], &[&str]); 5] = [
        ("store", &[], &["opentelemetry-proto", "prost", "tonic", "axum", "reqwest"]),
        ("collector", &["haldane-store"], &["datafusion", "reqwest", "utoipa"]),
        ("analyzer", &["haldane-store"], &["opentelemetry-proto", "prost", "tonic", "axum", "reqwest"]),
        ("api", &["haldane-analyzer", "haldane-store"], &["opentelemetry-proto", "prost", "tonic"]),
        (
            ".",
            &["haldane-store", "haldane-collector", "haldane-analyzer", "haldane-api"],
            &["axum", "datafusion", "deltalake-core", "sqlx"],
        ),
    ];
    /// Folders, and words that must not stand in the code there: the statistics and the judge are functions of their arguments.
    const PURE: [&str; 2] = ["analyzer/src/stats", "analyzer/src/judge"];
    const IMPURE: [&str; 9] =
        ["async fn", ".await", "tokio::", "tracing::", "datafusion", "std::env", "SystemTime", "Instant::now", "SystemClock"];
    const LINES_MAX: usize = 500;
    const TEST_DATA_BYTES_MAX: u64 = 3 * 1024 * 1024;

    #[test]
    fn crates_import_only_those_below_them() {
        for (folder, allowed, unknown) in EDGES {
            for Dependency { line, name, for_tests } in dependencies(&repository().join(folder).join("Cargo.toml")) {
                assert!(
                    !name.starts_with("haldane-") || allowed.contains(&name.as_str()),
                    "{folder}/Cargo.toml:{line}: {name} is no edge of STYLE.md"
                );
                assert!(
                    for_tests || !unknown.contains(&name.as_str()),
                    "{folder}/Cargo.toml:{line}: this crate must know nothing of {name}"
                );
            }
        }
    }

    #[test]
    fn statistics_and_judge_are_pure() {
        let code = sources().into_iter().filter(|(path, _)| PURE.iter().any(|pure| path.starts_with(pure)) && !is_test(path));
        for (path, text) in code {
            for (line, code) in numbered(before_tests(&text)).filter(|(_, code)| !code.trim_start().starts_with("//")) {
                let found = IMPURE.iter().find(|word| code.contains(*word));
                assert!(found.is_none(), "{}:{line}: {} has no place in a pure function", path.display(), found.unwrap());
            }
        }
    }

    #[test]
    fn only_the_query_module_builds_a_session() {
        for (path, text) in sources().into_iter().filter(|(path, _)| path.starts_with("analyzer") || path.starts_with("api")) {
            let builds = before_tests(&text).contains("SessionContext::new") || before_tests(&text).contains("SessionStateBuilder");
            assert!(!builds || path.starts_with("analyzer/src/query"), "{}: ask analyzer::query for a session", path.display());
        }
    }

    #[test]
    fn files_are_short_and_say_what_they_are_for() {
        for (path, text) in sources() {
            let lines = before_tests(&text).lines().count();
            assert!(lines <= LINES_MAX, "{}: {lines} lines before its tests, {LINES_MAX} at most: split it", path.display());
            assert!(text.starts_with("//!") || is_test(&path), "{}: start with a //! on what it is for", path.display());
        }
    }

    #[test]
    fn modules_have_a_meaning() {
        for (path, _) in sources() {
            let vague = ["common", "util", "utils", "types", "prelude", "helpers", "misc"];
            let mut names = path.iter().filter_map(|part| Path::new(part).file_stem()).filter_map(|stem| stem.to_str());
            assert!(!names.any(|name| vague.contains(&name)), "{}: name it after what it holds", path.display());
        }
    }

    #[test]
    fn what_is_left_to_do_has_an_issue_and_no_test_is_set_aside() {
        // Written in parts, so that this file does not find itself.
        let to_do = ["TO", "DO"].concat();
        let set_aside = [["#[ig", "nore"].concat(), ["#[should", "_panic"].concat(), ["#[al", "low("].concat(), ["#![al", "low("].concat()];
        for (path, text) in sources() {
            for (line, code) in numbered(&text) {
                let noted = code
                    .split_once(&to_do)
                    .is_none_or(|(_, after)| after.starts_with("(#") && after[2..].starts_with(|c: char| c.is_ascii_digit()));
                assert!(noted, "{}:{line}: say which issue, as in {to_do}(#12)", path.display());
                let found = set_aside.iter().find(|word| code.trim_start().starts_with(*word));
                assert!(found.is_none(), "{}:{line}: {} is not used here", path.display(), found.unwrap());
            }
        }
    }

    #[test]
    fn test_data_is_small_and_has_a_licence() {
        for entry in fs::read_dir(repository().join("tests/data")).unwrap() {
            let folder = entry.unwrap().path();
            assert!(folder.join("LICENSE.md").is_file(), "{}: say whose data it is in LICENSE.md", folder.display());
        }
        let bytes: u64 = files(&repository().join("tests/data")).iter().map(|file| file.metadata().unwrap().len()).sum();
        assert!(bytes <= TEST_DATA_BYTES_MAX, "tests/data has {bytes} bytes, {TEST_DATA_BYTES_MAX} at most");
    }

    struct Dependency {
        line: usize,
        name: String,
        for_tests: bool,
    }

    /// The names in the dependency sections of a manifest.
    fn dependencies(manifest: &Path) -> Vec<Dependency> {
        let text = fs::read_to_string(manifest).unwrap_or_else(|error| panic!("{}: {error}", manifest.display()));
        let mut found = Vec::new();
        let mut section = "";
        for (line, code) in numbered(&text) {
            if code.starts_with('[') {
                section = code.trim_matches(['[', ']']);
                // A dependency may have a section of its own.
                let own = section.split_once("dependencies.").map(|(kind, name)| (kind.ends_with("dev-"), name.to_owned()));
                found.extend(own.map(|(for_tests, name)| Dependency { line, name, for_tests }));
            } else if section.ends_with("dependencies") && !section.starts_with("workspace") {
                let name = code.split_once(['.', '=', ' ']).map(|(name, _)| name.trim().to_owned());
                found.extend(name.map(|name| Dependency { line, name, for_tests: section.ends_with("dev-dependencies") }));
            }
        }
        assert!(!found.is_empty(), "{} has no dependencies", manifest.display());
        found
    }

    /// The Rust files of the repository by their paths in it.
    fn sources() -> Vec<(PathBuf, String)> {
        let folders = ["src", "store", "collector", "analyzer", "api", "tests", "benches"];
        let all = folders.iter().map(|folder| repository().join(folder)).filter(|folder| folder.is_dir()).flat_map(|folder| files(&folder));
        let rust = all.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
        let sources: Vec<_> =
            rust.map(|path| (path.strip_prefix(repository()).unwrap().to_owned(), fs::read_to_string(&path).unwrap())).collect();
        assert!(sources.len() > 50, "only {} files: is the repository elsewhere?", sources.len());
        sources
    }

    fn files(folder: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
        }
        found.sort();
        found
    }

    /// Whether a file holds the tests of a module.
    fn is_test(path: &Path) -> bool {
        path.iter().skip(1).any(|part| part == "tests" || part == "tests.rs")
    }

    fn before_tests(text: &str) -> &str {
        text.split_once("#[cfg(test)]\nmod tests").map_or(text, |(code, _)| code)
    }

    fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
        text.lines().enumerate().map(|(at, line)| (at + 1, line))
    }

    fn repository() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR"))
    }
}
