//! Runs that end before their time: Ctrl-C, a closed pipe, a full disk.
#![cfg(unix)]

use std::io::{Read, Write};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::command::{Ran, command};
use crate::support::Fixture;

/// A model that could write for a long time.
fn endless() -> TempDir {
    Fixture::new("llama").set("max_position_embeddings", 1_000_000).build()
}

/// Starts a subcommand that writes until it is stopped.
fn start(subcommand: &str, folder: &TempDir, options: &[&str]) -> Child {
    let path = folder.path().to_str().unwrap();
    let endless = ["-m", path, "--device", "cpu", "--temp", "1", "--seed", "1", "--ignore-eos"];
    command(&[&[subcommand], &endless[..], options].concat()).stdin(Stdio::piped()).spawn().unwrap()
}

fn signal(name: &str, process: u32) {
    assert!(Command::new("kill").args([name, &process.to_string()]).status().unwrap().success());
}

fn interrupt(child: &Child) {
    signal("-INT", child.id());
}

/// What `work` gives; if it takes too long, the process is killed and the test fails.
fn in_time<T: Send + 'static>(process: u32, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = channel();
    std::thread::spawn(move || done.send(work()));
    result.recv_timeout(Duration::from_secs(20)).unwrap_or_else(|_| {
        signal("-KILL", process);
        panic!("the command hangs, or ended too early");
    })
}

/// Waits for the first bytes of stdout.
fn first_bytes(child: &mut Child) -> Vec<u8> {
    let mut stdout = child.stdout.take().unwrap();
    let (stdout, bytes) = in_time(child.id(), move || {
        let mut bytes = vec![0; 16];
        stdout.read_exact(&mut bytes).unwrap();
        (stdout, bytes)
    });
    child.stdout = Some(stdout);
    bytes
}

/// Waits for the end.
fn end(child: Child) -> Output {
    in_time(child.id(), move || child.wait_with_output().unwrap())
}

#[test]
fn ctrl_c_keeps_the_text_so_far() {
    let folder = endless();
    let mut child = start("generate", &folder, &["Hello", "--raw"]);
    let mut text = first_bytes(&mut child);
    interrupt(&child);
    let output = end(child);
    text.extend(output.stdout);
    assert_eq!(output.status.code(), Some(130));
    assert!(text.ends_with(b"\n") && String::from_utf8(text).is_ok());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn ctrl_c_ends_json_with_what_there_is() {
    let folder = endless();
    let child = start("generate", &folder, &["Hello", "--raw", "--json"]);
    std::thread::sleep(Duration::from_secs(1));
    interrupt(&child);
    let ran = Ran::from(end(child));
    assert_eq!(ran.status, Some(130));
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["finish_reason"], "cancelled");
    assert!(!report["tokens"].as_array().unwrap().is_empty());
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let folder = endless();
    let mut child = start("generate", &folder, &["Hello", "--raw"]);
    first_bytes(&mut child);
    drop(child.stdout.take());
    let output = end(child);
    assert_eq!((output.status.code(), output.stderr), (Some(0), vec![]));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = command(&["doctor"]).stdout(Stdio::from(full)).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("error: stdout: "));
}

#[test]
fn a_talk_goes_on_after_ctrl_c() {
    let folder = endless();
    let saved = folder.path().join("talk.json");
    let mut child = start("chat", &folder, &[]);
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"Hello\n").unwrap();
    first_bytes(&mut child);
    interrupt(&child);
    stdin.write_all(format!("/save {}\n", saved.display()).as_bytes()).unwrap();
    drop(stdin);
    let output = end(child);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let transcript: Value = serde_json::from_slice(&std::fs::read(saved).unwrap()).unwrap();
    assert_eq!(transcript["transcript"][1]["role"], "assistant");
    assert_eq!(transcript["transcript"][1]["partial"], true);
}

/// MLX's own threads and allocators are destroyed while the worker may still be freeing the model.
#[cfg(feature = "mlx")]
#[test]
fn the_process_ends_cleanly_on_mlx() {
    for _ in 0..10 {
        let ran = crate::command::run(&["score", "-m", "demo", "What is 2 + 2?", "--device", "mlx-cpu", "--json"]);
        assert!(ran.succeeded().starts_with("{\"tokens\":["));
    }
}
