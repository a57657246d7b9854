//! Looking for models on a hub.

use serde::{Deserialize, Serialize};

use super::Hub;
use super::client::{encode, network};
use super::metadata::{Answer, ModelMetadata};
use super::repository::RepositoryId;
use crate::error::{Error, Result};
use crate::object;

/// The most that one search may find.
const MOST: usize = 200;
/// Models on a page.
const PAGE: usize = 100;
/// Pages that are asked for.
const PAGES: usize = 8;
/// What is to be told of each model beside its name.
const TOLD: [&str; 12] = [
    "author",
    "cardData",
    "config",
    "downloads",
    "gated",
    "lastModified",
    "library_name",
    "likes",
    "pipeline_tag",
    "safetensors",
    "sha",
    "tags",
];

/// What to look for.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct SearchOptions {
    /// Words of the name; empty finds all.
    pub query: String,
    /// Whose models, such as `mlx-community`.
    pub author: Option<String>,
    /// Tags that a model must have. Default: `mlx`.
    pub tags: Vec<String>,
    /// What comes first on the hub, before what fits this device is put first.
    pub sort: SearchSort,
    /// How many to find, 1 to 200. Default: 20.
    pub limit: usize,
    /// The most bytes that a model may take. Default: what engines allow by default on this machine.
    pub memory_bytes: Option<u64>,
    /// The context that must fit, in tokens. Default: 4,096, or a model's own if that is shorter.
    pub context_length: Option<usize>,
}

impl Default for SearchOptions {
    fn default() -> Self {
        Self {
            query: String::new(),
            author: None,
            tags: vec!["mlx".to_owned()],
            sort: SearchSort::default(),
            limit: 20,
            memory_bytes: None,
            context_length: None,
        }
    }
}
object::from_json!(SearchOptions: "search");

/// What comes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SearchSort {
    /// The most downloads of the last month.
    #[default]
    Downloads,
    /// The most likes.
    Likes,
    /// What is talked about now.
    Trending,
    /// What was changed last.
    Modified,
}

impl SearchSort {
    /// The hub's word.
    fn key(self) -> &'static str {
        match self {
            Self::Downloads => "downloads",
            Self::Likes => "likes",
            Self::Trending => "trendingScore",
            Self::Modified => "lastModified",
        }
    }
}

impl Hub {
    /// What the hub finds, in its order.
    pub(crate) fn find(&self, options: &SearchOptions) -> Result<Vec<ModelMetadata>> {
        if !(1..=MOST).contains(&options.limit) {
            return Err(Error::invalid(format!("limit is {}; it must be 1 to {MOST}", options.limit)));
        }
        if self.offline {
            return Err(network("nothing is searched offline").with_hint(
                "HF_HUB_OFFLINE is set; `pocketmlx list` prints what is in the cache, `recommend` the catalogue",
            ));
        }
        let mut path = Some(first_page(options));
        let mut found: Vec<ModelMetadata> = Vec::new();
        for _ in 0..PAGES {
            let Some(here) = path.take() else { break };
            let page = self.client.page(&here, &|| false).map_err(|error| error.context("search"))?;
            let answers: Vec<Answer> = serde_json::from_slice(&page.body)
                .map_err(|e| network(format!("search: the hub's list of models is not understood: {e}")))?;
            for answer in answers {
                let model = answer.metadata("main");
                // What can't be named can't be fetched.
                if model.id.parse::<RepositoryId>().is_ok() && found.iter().all(|other| other.id != model.id) {
                    found.push(model);
                }
            }
            path = page.next.filter(|_| found.len() < options.limit);
        }
        found.truncate(options.limit);
        for model in &mut found {
            model.cached = self.cache.complete_snapshot(&model.id.parse()?)?.is_some();
        }
        Ok(found)
    }
}

fn first_page(options: &SearchOptions) -> String {
    let mut query = format!("sort={}&limit={}", options.sort.key(), options.limit.min(PAGE));
    for (key, value) in [("search", Some(&options.query)), ("author", options.author.as_ref())] {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            query += &format!("&{key}={}", encode(value));
        }
    }
    for tag in &options.tags {
        query += &format!("&filter={}", encode(tag));
    }
    for told in TOLD {
        query += &format!("&expand={told}");
    }
    format!("/api/models?{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_is_encoded() {
        let options =
            SearchOptions { query: "qwen 3&x".into(), author: Some("a/b".into()), ..SearchOptions::default() };
        let path = first_page(&options);
        let start = "/api/models?sort=downloads&limit=20&search=qwen%203%26x&author=a%2Fb&filter=mlx&expand=author";
        assert!(path.starts_with(start), "{path}");
        let options = SearchOptions::from_json(br#"{"query": "x", "sort": "likes", "tags": []}"#).unwrap();
        assert_eq!((options.sort, options.limit, options.tags.len()), (SearchSort::Likes, 20, 0));
        assert!(SearchOptions::from_json(br#"{"colour": 1}"#).unwrap_err().message().contains("colour"));
    }
}
