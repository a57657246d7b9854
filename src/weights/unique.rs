//! JSON objects whose keys must differ. Parsers that keep the last of equal keys let a file mean two things.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use super::shown;

/// The key under which safetensors files hold text about themselves; no tensor has this name.
const METADATA: &str = "__metadata__";

/// A JSON object with distinct keys, by tensor name.
pub(super) struct UniqueMap<V>(pub BTreeMap<String, V>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for UniqueMap<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

struct Entries<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for Entries<V> {
    type Value = UniqueMap<V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut map = BTreeMap::new();
        while let Some(key) = access.next_key::<String>()? {
            if key == METADATA {
                access.next_value::<IgnoredAny>()?;
                continue;
            }
            // The parser's message alone does not say which entry it means.
            let value = access.next_value().map_err(|e| A::Error::custom(format!("{}: {e}", shown(&key))))?;
            if map.contains_key(&key) {
                return Err(A::Error::custom(format!("{} is there twice", shown(&key))));
            }
            map.insert(key, value);
        }
        Ok(UniqueMap(map))
    }
}
