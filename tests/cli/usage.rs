//! Help, wrong usage and what fails before any model is touched.

use crate::command::{run, run_with};

const SUBCOMMANDS: [&str; 9] = ["generate", "chat", "score", "tokenize", "render", "probe", "info", "bench", "doctor"];

#[test]
fn help_and_version_go_to_stdout() {
    let help = run(&["--help"]).succeeded();
    assert!(help.contains("Examples:") && help.contains("Exit status:"), "{help}");
    for name in SUBCOMMANDS {
        assert!(help.contains(&format!("  {name} ")), "{name} is missing: {help}");
        assert!(run(&[name, "--help"]).succeeded().contains(&format!("Usage: pocketmlx {name}")));
    }
    assert_eq!(run(&["--version"]).succeeded(), format!("pocketmlx {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_usage_is_status_2() {
    for args in [
        &[][..],
        &["frobnicate"],
        &["generate", "--frobnicate"],
        &["generate", "hi", "there"],
        &["generate", "hi", "--temp", "-1"],
        &["generate", "hi", "--temp", "nan"],
        &["generate", "hi", "--temp", "warm"],
        &["generate", "hi", "--max-tokens", "0"],
        &["generate", "hi", "--max-tokens", "-3"],
        &["generate", "hi", "--stop", ""],
        &["generate", "hi", "--device", "gpu"],
        &["generate", "hi", "--precision", "f16"],
        &["generate", "hi", "--memory-limit", "4XB"],
        &["generate", "--ids", "1,two"],
        &["generate", "hi", "--ids", "1"],
        &["generate", "hi", "--raw", "--system", "s"],
        &["generate", "hi", "--request", "r.json"],
        &["generate", "--request", "r.json", "--raw"],
        &["generate", "--request", "r.json", "--ids", "1"],
        &["score", "hi", "--top-k", "21"],
        &["score", "hi", "--request", "r.json"],
        &["render", "hi", "--request", "r.json"],
        &["bench", "--repeats", "0"],
        &["bench", "--new-tokens", "1"],
        &["probe", "a", "-m", "b"],
        &["doctor", "x"],
    ] {
        let stderr = run(args).failed(2);
        assert!(!stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn input_that_cannot_be_used_is_status_1() {
    for (args, stdin, message) in [
        (&["generate", ""][..], &b""[..], "the prompt is empty"),
        (&["generate"], b"", "the prompt is empty"),
        (&["generate", "--raw"], b"\n", "the prompt is empty"),
        (&["render", ""], b"", "the prompt is empty"),
        (&["score", ""], b"", "the text is empty"),
        (&["tokenize"], b"", "the text is empty"),
        (&["generate"], b"caf\xe9", "stdin is not UTF-8: wrong at byte 3"),
        (&["generate", "--request", "/no/such.json"], b"", "/no/such.json"),
        (&["generate", "--request", "-"], b"", "stdin: request:"),
        (&["generate", "--request", "-"], b"{\"prompt\": 3}", "stdin: request:"),
        (&["generate", "--request", "-"], b"{\"promt\": \"hi\"}", "promt"),
        (&["render", "--request", "-"], b"{\"messages\": []}", "the list of messages is empty"),
        (&["score", "--request", "-"], b"{\"prompt\": \"a\", \"prompt_ids\": [1]}", "prompt and prompt_ids"),
    ] {
        let stderr = run_with(args, stdin).failed(1);
        assert!(stderr.starts_with("error: ") && stderr.contains(message), "{args:?}: {stderr}");
    }
}

#[test]
fn system_needs_messages() {
    let args = ["generate", "--request", "-", "--system", "Be brief."];
    assert!(run_with(&args, b"{\"prompt\": \"hi\"}").failed(2).contains("--system needs messages"));
}

#[test]
fn a_log_filter_that_makes_no_sense_is_wrong_usage() {
    let output = crate::command::command(&["doctor"]).env("POCKETMLX_LOG", "a=b=c").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("POCKETMLX_LOG"));
}
