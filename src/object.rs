//! Structs in JSON are objects. serde also takes a list of their fields, in which no key can be unknown.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

/// Gives options a constructor from JSON.
macro_rules! from_json {
    ($($kind:ty: $what:literal),*) => { $(
        impl $kind {
            /// Parses the options from JSON; empty input means all defaults.
            ///
            /// # Errors
            /// `InvalidArgument` naming the key that is wrong or unknown.
            pub fn from_json(json: &[u8]) -> $crate::error::Result<Self> {
                if json.is_empty() {
                    return Ok(Self::default());
                }
                let $crate::object::Object(options) = serde_json::from_slice(json)
                    .map_err(|e| $crate::error::Error::invalid(format!("{} options: {e}", $what)))?;
                Ok(options)
            }
        }
    )* };
}
pub(crate) use from_json;

/// A value that was read from an object.
pub(crate) struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        deserializer.deserialize_map(Fields(PhantomData))
    }
}

/// For fields with `#[serde(deserialize_with = "object::one")]`.
pub(crate) fn one<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    Object::deserialize(deserializer).map(|Object(value)| value)
}

/// For fields with `#[serde(deserialize_with = "object::list")]`.
pub(crate) fn list<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Vec::deserialize(deserializer).map(values)
}

/// For fields with `#[serde(deserialize_with = "object::optional_list")]`.
pub(crate) fn optional_list<'de, T, D>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::<Vec<Object<T>>>::deserialize(deserializer).map(|list| list.map(values))
}

fn values<T>(list: Vec<Object<T>>) -> Vec<T> {
    list.into_iter().map(|Object(value)| value).collect()
}

#[cfg(test)]
mod tests {
    use crate::{EngineOptions, Request, SessionOptions};

    #[test]
    fn a_list_is_no_object() {
        for json in
            ["[]", r#"[[{"role":"user"}]]"#, r#"{"messages":[["user","Hello"]]}"#, r#"{"messages":[[]]}"#, "null"]
        {
            let error = Request::from_json(json.as_bytes()).err();
            assert!(error.is_some_and(|e| e.message().contains("expected an object")), "{json}");
        }
        assert!(EngineOptions::from_json(b"[]").is_err());
        assert!(SessionOptions::from_json(br#"{"transcript":[["user","Hello"]]}"#).is_err());
        assert!(SessionOptions::from_json(br#"{"defaults":[]}"#).is_err());
    }

    #[test]
    fn objects_are_read_as_before() {
        let request = Request::from_json(br#"{"messages":[{"role":"user","content":"Hello"}],"seed":3}"#).unwrap();
        assert_eq!(request, Request { seed: Some(3), ..Request::user("Hello") });
        assert_eq!(Request::from_json(br#"{"messages":null,"prompt":"a"}"#).unwrap(), Request::prompt("a"));
        let error = Request::from_json(br#"{"messages":[{"role":"user","colour":1}]}"#).unwrap_err();
        assert!(error.message().contains("colour"), "{error}");
        let options = SessionOptions::from_json(br#"{"defaults":{"seed":1},"transcript":[{"role":"user"}]}"#).unwrap();
        assert_eq!((options.defaults.seed, options.transcript.len()), (Some(1), 1));
    }
}
