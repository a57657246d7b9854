//! What the bench found, as a table for the terminal and as a page of the documentation.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::sh::Result;

/// Results of all devices.
pub struct Report {
    cases: PathBuf,
    devices: Vec<String>,
    families: BTreeMap<String, Family>,
}

#[derive(Default)]
struct Family {
    features: String,
    /// By device.
    results: BTreeMap<String, Results>,
    formats: BTreeSet<String>,
}

#[derive(Default)]
struct Results {
    passed: usize,
    worst: f64,
    failed: Vec<String>,
}

impl Report {
    /// Reads what the families are.
    pub fn new(cases: &Path) -> Result<Self> {
        let features: BTreeMap<String, Value> = serde_json::from_slice(&fs::read(cases.join("families.json"))?)?;
        let family = |features: Value| {
            let features = features["features"].as_str().unwrap_or_default().to_owned();
            Family { features, ..Family::default() }
        };
        let families = features.into_iter().map(|(name, value)| (name, family(value))).collect();
        Ok(Self { cases: cases.into(), devices: Vec::new(), families })
    }

    /// Reads the results of a device.
    pub fn read(&mut self, device: &str) -> Result<()> {
        self.devices.push(device.to_owned());
        let text = fs::read_to_string(self.cases.join(format!("results-{device}.jsonl")))?;
        for line in text.lines() {
            let result: Value = serde_json::from_str(line)?;
            let text = |key: &str| result[key].as_str().unwrap_or_default();
            let family = self.families.entry(text("model_type").to_owned()).or_default();
            family.formats.insert(text("format").to_owned());
            let results = family.results.entry(device.to_owned()).or_default();
            if result["passed"] == true {
                results.passed += 1;
                results.worst = results.worst.max(result["error"].as_f64().unwrap_or(f64::INFINITY));
            } else {
                let why = match (&result["failure"], &result["unseen"]) {
                    (Value::String(failure), _) => failure.clone(),
                    (_, Value::Array(unseen)) if !unseen.is_empty() => format!("not seen: {}", result["unseen"]),
                    _ => format!("differs by {}", result["error"]),
                };
                results.failed.push(format!("{}, {}: {why}", text("variant"), text("format")));
            }
        }
        Ok(())
    }

    /// Cases that did not pass.
    pub fn failures(&self) -> usize {
        self.tested().flat_map(|(_, family)| family.results.values()).map(|results| results.failed.len()).sum()
    }

    fn tested(&self) -> impl Iterator<Item = (&String, &Family)> {
        self.families.iter().filter(|(_, family)| !family.results.is_empty())
    }

    /// A line for each family and device.
    pub fn table(&self) -> String {
        let mut out = format!("{:20} {:8} {:>6} {:>6}  {:>8}\n", "model_type", "device", "passed", "failed", "worst");
        for (name, family) in self.tested() {
            for (device, results) in &family.results {
                let Results { passed, worst, failed } = results;
                let _ = writeln!(out, "{name:20} {device:8} {passed:6} {:6}  {worst:8.1e}", failed.len());
                for failure in failed {
                    let _ = writeln!(out, "    {failure}");
                }
            }
        }
        out
    }

    /// The page of the documentation.
    pub fn page(&self, seed: u64) -> String {
        let mut out = format!(
            "# Models\n\n\
             Every `model_type` below was compared with mlx-lm on random checkpoints (seed {seed}), both sides in f32: \
             the whole prompt at once, in slices, token by token, several sequences together, past the window, after \
             a rewind. A pass means that every log-probability was within 0.001. `cargo xtask parity --all` wrote this \
             page; don't edit it.\n\n\
             | model_type | what it has | {} | formats |\n|---|---|{}---|\n",
            self.devices.join(" | "),
            "---|".repeat(self.devices.len()),
        );
        for (name, family) in self.tested() {
            let status = |device: &String| match family.results.get(device) {
                Some(Results { passed, failed, .. }) if failed.is_empty() => format!("{passed} cases pass"),
                Some(Results { passed, failed, .. }) => format!("{} of {} fail", failed.len(), passed + failed.len()),
                None => "not tried".to_owned(),
            };
            let devices: Vec<_> = self.devices.iter().map(status).collect();
            let formats: Vec<_> = family.formats.iter().map(String::as_str).collect();
            let features = &family.features;
            let _ = writeln!(out, "| {name} | {features} | {} | {} |", devices.join(" | "), formats.join(", "));
        }
        out.push_str(
            "\nOn `cpu`, mxfp4 weights are kept as 5-bit codes, and mxfp8 and nvfp4 weights as bf16, all without loss: \
             they take more memory than in the file.\n",
        );
        out
    }
}
