//! Runs that end before their time: Ctrl-C, a closed pipe, a full disk.
#![cfg(unix)]

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::command::{Ran, command};
use crate::support::Fixture;

/// A model that could write for a long time.
fn endless() -> TempDir {
    let folder = Fixture::new("llama").set("max_position_embeddings", 1_000_000).build();
    let request = json!({"prompt": "Hello", "ignore_eos": true, "temperature": 1.0, "seed": 1}).to_string();
    std::fs::write(folder.path().join("request.json"), request).unwrap();
    folder
}

fn start(folder: &TempDir, options: &[&str]) -> Child {
    let path = folder.path().to_str().unwrap();
    let request = format!("{path}/request.json");
    let args = [&["generate", "-m", path, "--device", "cpu", "--request", &request], options].concat();
    command(&args).spawn().unwrap()
}

fn interrupt(child: &Child) {
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
}

/// Waits for the first bytes of stdout.
fn first_bytes(child: &mut Child) -> Vec<u8> {
    let mut bytes = vec![0; 16];
    child.stdout.as_mut().unwrap().read_exact(&mut bytes).unwrap();
    bytes
}

/// Waits for the end, which must come soon.
fn end(child: Child) -> std::process::Output {
    let started = Instant::now();
    let output = child.wait_with_output().unwrap();
    assert!(started.elapsed() < Duration::from_secs(5), "it took {:?} to end", started.elapsed());
    output
}

#[test]
fn ctrl_c_keeps_the_text_so_far() {
    let folder = endless();
    let mut child = start(&folder, &[]);
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
    let child = start(&folder, &["--json"]);
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
    let mut child = start(&folder, &[]);
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
    use std::io::Write;
    let folder = endless();
    let saved = folder.path().join("talk.json");
    // Stops at no end-of-text token that it could meet by chance.
    let args = ["chat", "-m", folder.path().to_str().unwrap(), "--device", "cpu", "--temp", "1", "--seed", "3"];
    let mut child = command(&args).stdin(Stdio::piped()).spawn().unwrap();
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
