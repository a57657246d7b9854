//! What was measured, kept as it comes: a run of some rows renews these and leaves the others.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::rows::Row;
use super::sh::Result;

/// Rows and the profile, in a file.
pub struct Record {
    path: PathBuf,
    pub rows: Vec<Row>,
    /// What prefill and decode spend their time on.
    pub profile: Option<Value>,
}

impl Record {
    /// What a file holds, or nothing.
    pub fn open(path: &Path) -> Result<Self> {
        let mut record = Self { path: path.to_owned(), rows: Vec::new(), profile: None };
        if path.is_file() {
            let value: Value = serde_json::from_slice(&fs::read(path)?)?;
            let rows = value["rows"].as_array().into_iter().flatten();
            record.rows = rows.map(row).collect::<Option<_>>().ok_or_else(|| {
                format!("{} holds rows that this version does not know: remove it and measure again", path.display())
            })?;
            record.profile = Some(value["profile"].clone()).filter(|profile| !profile.is_null());
        }
        Ok(record)
    }

    /// Adds a row in place of an older one, and writes the file.
    pub fn put(&mut self, row: Row) -> Result<()> {
        self.rows.retain(|other| other.place != row.place);
        self.rows.push(row);
        self.rows.sort_by_key(|row| row.place);
        self.save()
    }

    /// Renews the profile, and writes the file.
    pub fn put_profile(&mut self, profile: Value) -> Result<()> {
        self.profile = Some(profile);
        self.save()
    }

    fn save(&self) -> Result<()> {
        let rows: Vec<_> = self.rows.iter().map(to_json).collect();
        let part = self.path.with_extension("part");
        fs::write(&part, json!({ "rows": rows, "profile": self.profile }).to_string())?;
        Ok(fs::rename(part, &self.path)?)
    }
}

fn to_json(row: &Row) -> Value {
    let Row { place, name, unit, peer, ours, theirs, goal } = row;
    json!({ "place": place, "name": name, "unit": unit, "peer": peer, "ours": ours, "theirs": theirs, "goal": goal })
}

fn row(value: &Value) -> Option<Row> {
    let text = |key: &str| value[key].as_str().map(str::to_owned);
    let numbers = |key: &str| value[key].as_array()?.iter().map(Value::as_f64).collect::<Option<Vec<_>>>();
    Some(Row {
        place: usize::try_from(value["place"].as_u64()?).ok()?,
        name: text("name")?,
        unit: text("unit")?,
        peer: text("peer")?,
        ours: numbers("ours")?,
        theirs: numbers("theirs")?,
        goal: text("goal")?,
    })
}
