//! A small disk of a test's own: a tmpfs in a mount namespace that a holder process keeps open, so that servers come and go on it. Needs no root
//! where users may make namespaces.

use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// Gone with everything on it when dropped.
pub(super) struct SmallDisk {
    holder: Child,
    dir: TempDir,
}

impl SmallDisk {
    /// `None` where mounting is not allowed.
    pub(super) fn mount(mebibytes: u32) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let script = format!("mount -t tmpfs -o size={mebibytes}m none \"$0\" && echo mounted && exec cat");
        let mut holder = Command::new("unshare")
            .args(["-rm", "sh", "-c", &script])
            .arg(dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut said = [0; 8];
        let mounted = holder.stdout.as_mut().unwrap().read_exact(&mut said).is_ok() && &said == b"mounted\n";
        let disk = Self { holder, dir };
        mounted.then_some(disk)
    }

    /// What stands before a command that is to see the disk.
    pub(super) fn prefix(&self) -> Vec<String> {
        let pid = self.holder.id().to_string();
        ["nsenter", "-t", &pid, "-U", "-m", "--preserve-credentials", "--"].map(str::to_owned).to_vec()
    }

    pub(super) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Runs a script of the shell in the disk's folder.
    pub(super) fn run(&self, script: &str) -> Output {
        let prefix = self.prefix();
        let script = format!("cd \"$0\" && {script}");
        Command::new(&prefix[0]).args(&prefix[1..]).args(["sh", "-c", &script]).arg(self.dir.path()).output().unwrap()
    }

    /// Takes all the room that is left.
    pub(super) fn fill(&self) {
        let output = self.run("cat /dev/zero > ballast");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains("No space left on device"), "{text}");
    }

    pub(super) fn make_room(&self) {
        assert!(self.run("rm ballast").status.success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The namespace and its mount end with the last process in it.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
