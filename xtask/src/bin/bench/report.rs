//! The report as Markdown.

use std::fmt::Write;

use serde_json::Value;

use super::peers::LLAMA_CPP_PYTHON;
use super::record::Record;
use super::rows::{Row, median};

/// The whole report.
pub fn markdown(record: &Record) -> String {
    let mut text = String::from("# CPU: PocketMLX beside its peers\n\n");
    let _ = writeln!(
        text,
        "Written by `cargo xtask bench --cpu` on {}, {} threads. Random weights at the shape of Qwen3-0.6B,\n\
         the same for all; llama.cpp is that of {LLAMA_CPP_PYTHON}. Each side takes turns; medians, with the lowest and highest value in brackets.\n\
         The ratio is the median of the turns' ratios. [benches/README.md](../README.md) says what each row means.\n",
        processor(),
        std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
    );
    text.push_str("| | unit | PocketMLX | peer | | ratio | asked |\n|---|---|---|---|---|---|---|\n");
    for row in &record.rows {
        let ratio = row.ratio().map_or_else(|| "–".to_owned(), |ratio| format!("**{ratio:.2}**"));
        let peer = if row.theirs.is_empty() { "–".to_owned() } else { spread(&row.theirs) };
        let Row { name, unit, peer: who, ours, goal, .. } = row;
        let _ = writeln!(text, "| {name} | {unit} | {} | {peer} | {who} | {ratio} | {goal} |", spread(ours));
    }
    if let Some(profile) = &record.profile {
        text.push_str(&operations(profile));
    }
    text
}

fn spread(values: &[f64]) -> String {
    let (low, high) =
        values.iter().fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(*value), high.max(*value)));
    let digits = if high < 10.0 { 2 } else { 1 };
    format!("{:.digits$} [{low:.digits$}–{high:.digits$}]", median(values))
}

/// What `pocketmlx bench --profile` says.
fn operations(profile: &Value) -> String {
    let gigabytes =
        |value: &Value| value.as_f64().map_or_else(|| "–".to_owned(), |bytes| format!("{:.1}", bytes / 1e9));
    let mut text = format!(
        "\n## Where the time goes (4-bit, prompt of 512 tokens)\n\nMemory is read at {} GB/s by all threads together.\n",
        gigabytes(&profile["read_bytes_per_second"])
    );
    for phase in ["prefill", "decode"] {
        let _ = writeln!(
            text,
            "\n{phase}: {} ms a token\n\n| operation | ms a token | share | MB a token | GB/s | of the roofline |\n|---|---|---|---|---|---|",
            profile[phase]["milliseconds_per_token"]
        );
        for operation in profile[phase]["operations"].as_array().into_iter().flatten() {
            let bytes = operation["bytes_per_token"].as_f64().unwrap_or(0.0);
            let read = bytes > 0.0;
            let _ = writeln!(
                text,
                "| {} | {} | {:.1} % | {} | {} | {} |",
                operation["name"].as_str().unwrap_or("?"),
                operation["milliseconds_per_token"],
                operation["share"].as_f64().unwrap_or(0.0) * 100.0,
                if read { format!("{:.2}", bytes / 1e6) } else { "–".into() },
                if read { gigabytes(&operation["bytes_per_second"]) } else { "–".into() },
                operation["share_of_roofline"].as_f64().map_or("–".into(), |share| format!("{:.0} %", share * 100.0)),
            );
        }
    }
    text
}

/// The processor's name where the system tells.
fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    name.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.to_owned())
}
