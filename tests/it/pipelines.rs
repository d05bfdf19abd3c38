//! The scripts of CI systems, taken from their files as each system takes them, against a running server.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::traffic::Traffic;
use crate::world::{World, repository, until};

fn read(file: &str) -> String {
    std::fs::read_to_string(repository("deploy").join(file)).unwrap()
}

/// The shell script of each system, by its name.
fn scripts() -> [(&'static str, String); 4] {
    let gitlab = read("gitlab/haldane-gate.yml");
    let jobs: Value = serde_saphyr::from_str(gitlab.split_once("\n---\n").unwrap().1).unwrap();
    let job = jobs.as_object().unwrap().values().next().unwrap();
    let lines: Vec<&str> = job["script"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    let orb: Value = serde_saphyr::from_str(&read("circleci/orb.yml")).unwrap();
    let command = orb["commands"]["gate"]["steps"][0]["run"]["command"].as_str().unwrap().to_owned();
    let groovy = read("jenkins/vars/haldaneGate.groovy");
    let jenkins = groovy.split("'''").nth(1).unwrap().replace("\\\\", "\\");
    [("github", read("github-action/gate.sh")), ("gitlab", lines.join("\n")), ("circleci", command), ("jenkins", jenkins)]
}

/// Runs a script as its system does, with the program on the PATH.
fn run(world: &World, script: &str, service: &str, folder: &Path) -> Output {
    let file = folder.join("script.sh");
    std::fs::write(&file, script).unwrap();
    let programs = Path::new(env!("CARGO_BIN_EXE_haldane")).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var_os("PATH").unwrap().display());
    let inputs = [
        ("PATH", path.as_str()),
        ("HALDANE_URL", &world.api),
        ("GATE_SERVICE", service),
        ("GATE_ENVIRONMENT", "shop"),
        ("GATE_BASELINE", "service.version=1.4.0"),
        ("GATE_CANARY", "service.version=1.5.0"),
        ("GATE_WAIT", "90s"),
        ("GATE_POLICY", ""),
        ("CI_COMMIT_SHA", "3f2a"),
        ("CI_JOB_URL", "https://ci.example.com/1"),
        ("CIRCLE_SHA1", "3f2a"),
        ("CIRCLE_BUILD_URL", "https://ci.example.com/1"),
    ];
    let told = [("GITHUB_OUTPUT", folder.join("output")), ("GITHUB_STEP_SUMMARY", folder.join("summary"))];
    Command::new("sh").arg("-eu").arg(&file).current_dir(folder).envs(inputs).envs(told).output().unwrap()
}

/// Of each system a service whose release is bad, and one whose release is good: who asks of a service once more asks of another attempt.
const SERVICES: [[&str; 2]; 4] =
    [["github-bad", "github-good"], ["gitlab-bad", "gitlab-good"], ["circleci-bad", "circleci-good"], ["jenkins-bad", "jenkins-good"]];

#[tokio::test(flavor = "multi_thread")]
async fn each_ci_system_goes_on_with_a_good_release_and_stops_a_bad_one() {
    let world = World::start().await;
    for (service, fails_each) in SERVICES.iter().flat_map(|[bad, good]| [(bad, 8), (good, 0)]) {
        Traffic { service, version: "1.4.0", minutes: 10, requests: 2_000, fails_each: 0 }.send(&world).await;
        Traffic { service, version: "1.5.0", minutes: 10, requests: 2_000, fails_each }.send(&world).await;
    }
    until("all of it is visible", async || (world.number("SELECT count(*) FROM spans").await == 32_000).then_some(())).await;
    for ((system, script), [bad, good]) in scripts().into_iter().zip(SERVICES) {
        assert!(bad.starts_with(system));
        for (service, code, decision) in [(bad, 1, "rollback"), (good, 0, "promote")] {
            let folder = tempfile::tempdir().unwrap();
            let ended = run(&world, &script, service, folder.path());
            let said = format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
            assert_eq!(ended.status.code(), Some(code), "{system} {service}: {said}");
            if system == "github" {
                let output = std::fs::read_to_string(folder.path().join("output")).unwrap();
                assert!(output.contains(&format!("decision={decision}\n")) && output.contains("rollout-id="), "{output}");
                let summary = std::fs::read_to_string(folder.path().join("summary")).unwrap();
                assert!(summary.contains("service.version=1.5.0") && summary.contains("error_rate"), "{summary}");
            }
        }
    }
}
