//! Tokens and TLS by the outside: the real binary, on both sides.

use std::process::{Command, Output};

use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};

use crate::traffic::Traffic;
use crate::world::World;

fn haldane(settings: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_haldane"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HALDANE_")) {
        command.env_remove(name);
    }
    command.envs(settings.iter().copied()).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_made_on_a_running_server_open_and_close_its_doors() {
    let world = World::start().await;
    let at = |token: &str| [("HALDANE_URL", world.api.clone()), ("HALDANE_TOKEN", token.to_owned())];
    let run = |token: &str, arguments: &[&str]| {
        let settings = at(token);
        haldane(&settings.each_ref().map(|(name, value)| (*name, value.as_str())), arguments)
    };
    let added = run("", &["token", "add", "--name", "admin", "--scope", "operate"]);
    let admin = text(&added.stdout).trim().to_owned();
    assert_eq!(admin.len(), 64, "{}", text(&added.stderr));
    let refused = run("", &["rollout", "list"]);
    assert!(refused.status.code() == Some(2) && text(&refused.stderr).contains("HALDANE_TOKEN"), "{}", text(&refused.stderr));
    assert!(run(&admin, &["rollout", "list"]).status.success());
    Traffic { service: "payment", version: "1.4.0", minutes: 1, requests: 10, fails_each: 0 }.send(&world).await;
    let sender = text(&run(&admin, &["token", "add", "--name", "sender", "--scope", "ingest"]).stdout).trim().to_owned();
    let client = reqwest::Client::new();
    let send = async |token: &str| {
        let request = client.post(format!("{}/v1/traces", world.http)).header("content-type", "application/json").body("{}");
        request.bearer_auth(token).send().await.unwrap().status().as_u16()
    };
    assert_eq!((send("").await, send(&admin).await, send(&sender).await), (401, 403, 200), "from now on senders are asked");
    let listed = text(&run(&admin, &["token", "list"]).stdout);
    assert!(listed.contains("sender") && listed.contains("by token admin"), "{listed}");
    assert!(run(&admin, &["token", "revoke", "sender"]).status.success());
    assert_eq!((send(&sender).await, send("").await), (401, 401), "revoking the last token opens no door");

    let data = world.data();
    let ledger = std::fs::read(data.join("ledger.db")).unwrap();
    let wal = std::fs::read(data.join("ledger.db-wal")).unwrap_or_default();
    let holds = |bytes: &[u8]| bytes.windows(admin.len()).any(|window| window == admin.as_bytes());
    assert!(!holds(&ledger) && !holds(&wal), "only its hash is kept");
    let stopped = world.stop().await;
    let again = stopped.start_with(&[]).await;
    let settings = [("HALDANE_URL", again.api.as_str()), ("HALDANE_TOKEN", admin.as_str())];
    assert!(haldane(&settings, &["rollout", "list"]).status.success(), "a restart forgets no token");
    assert_eq!(haldane(&settings[..1], &["rollout", "list"]).status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_speaks_tls_and_the_command_line_checks_who_answers() {
    let folder = tempfile::tempdir().unwrap();
    let mut authority = CertificateParams::new(Vec::<String>::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let file = |name: &str, pem: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, pem).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (cert, key) = (file("cert.pem", &certificate.pem()), file("key.pem", &key.serialize_pem()));
    let roots = file("roots.pem", &authority.pem());
    let settings = [("HALDANE_API_TLS__CERT_FILE", cert.as_str()), ("HALDANE_API_TLS__KEY_FILE", key.as_str())];
    let world = World::start_over_tls(&settings, &authority.pem()).await;
    let url = world.api.replace("http://", "https://");
    let known = haldane(&[("HALDANE_URL", &url), ("HALDANE_CA_FILE", &roots)], &["rollout", "list"]);
    assert!(known.status.success(), "{}", text(&known.stderr));
    let unknown = haldane(&[("HALDANE_URL", &url)], &["rollout", "list"]);
    assert!(unknown.status.code() == Some(2) && text(&unknown.stderr).contains("cannot reach"), "{}", text(&unknown.stderr));
    let plain = haldane(&[("HALDANE_URL", &url.replace("https://", "http://"))], &["rollout", "list"]);
    assert_eq!(plain.status.code(), Some(2), "nothing is spoken without it");
}
