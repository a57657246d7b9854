//! A hub on the loopback that answers as the real one does, and misbehaves when it is told to.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Incoming {
    pub method: String,
    pub path: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
}

/// What to do with a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    Right,
    /// The right head, and the connection ends after so many bytes of the body.
    CutAfter(usize),
    /// The right head and so many bytes of the body, then nothing until the client goes.
    StallAfter(usize),
    /// The whole file with status 200, whatever was asked for.
    IgnoreRange,
    /// A part that begins elsewhere.
    WrongRange,
    /// A status, with headers such as `Retry-After`.
    Status(u16, &'static [(&'static str, &'static str)]),
    /// The file with its last byte changed.
    Corrupt,
    /// A body that never ends, in chunks.
    Endless,
    /// The file as it is, said to be compressed.
    Compressed,
    /// A redirect to itself.
    Loop,
}

/// Models on a page, however many were asked for.
const PAGE: usize = 3;

type Hook = Box<dyn FnMut(&Incoming) -> Answer + Send>;

#[derive(Default)]
struct State {
    repositories: BTreeMap<String, Repository>,
    requests: Vec<Incoming>,
    /// Bytes of files that went out.
    sent: u64,
    hook: Option<Hook>,
}

#[derive(Default, Clone)]
struct Repository {
    commit: String,
    files: BTreeMap<String, Arc<Content>>,
    /// Settings of the model card, tags, whether it is gated, names of commits.
    about: About,
}

/// What a repository says of itself beside its files.
#[derive(Default, Clone)]
pub struct About {
    pub card: Value,
    pub tags: Vec<String>,
    /// `auto` or `manual`; files are then given out to those with a token.
    pub gated: Option<&'static str>,
    pub version_tags: Vec<&'static str>,
    pub downloads: u64,
}

/// A file.
struct Content {
    bytes: Vec<u8>,
    large: bool,
    sha256: String,
    git: String,
}

/// The hub. Its threads end with the process.
#[derive(Clone)]
pub struct TestHub {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl TestHub {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let hub = Self { port: listener.local_addr().unwrap().port(), state: Arc::default() };
        let accepting = hub.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let hub = accepting.clone();
                thread::spawn(move || hub.serve(stream));
            }
        });
        hub
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Adds a repository, or a new commit of one; files of `.safetensors` and `.gguf` are large ones.
    pub fn add(&self, id: &str, files: &[(&str, &[u8])]) -> String {
        let mut hasher = Sha1::new();
        let mut repository = Repository::default();
        for (name, content) in files {
            hasher.update(name.as_bytes());
            hasher.update(content);
            let content = Content {
                bytes: content.to_vec(),
                large: name.ends_with(".safetensors") || name.ends_with(".gguf"),
                sha256: sha256(content),
                git: git(content),
            };
            repository.files.insert((*name).to_owned(), Arc::new(content));
        }
        repository.commit = hex(&hasher.finalize());
        let commit = repository.commit.clone();
        self.state.lock().unwrap().repositories.insert(id.to_owned(), repository);
        commit
    }

    /// Says more of a repository.
    pub fn describe(&self, id: &str, about: About) {
        self.state.lock().unwrap().repositories.get_mut(id).unwrap().about = about;
    }

    /// Decides about every request from now on.
    pub fn on_request(&self, hook: impl FnMut(&Incoming) -> Answer + Send + 'static) {
        self.state.lock().unwrap().hook = Some(Box::new(hook));
    }

    /// The requests since the last call.
    pub fn requests(&self) -> Vec<Incoming> {
        std::mem::take(&mut self.state.lock().unwrap().requests)
    }

    /// Bytes of files that went out since the last call.
    pub fn sent(&self) -> u64 {
        std::mem::take(&mut self.state.lock().unwrap().sent)
    }

    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let mut words = line.split_whitespace().map(str::to_owned);
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 || line.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':') {
                headers.insert(name.to_lowercase(), value.trim().to_owned());
            }
        }
        let request = Incoming { method, path, headers };
        let answer = {
            let mut state = self.state.lock().unwrap();
            state.requests.push(request.clone());
            state.hook.as_mut().map_or(Answer::Right, |hook| hook(&request))
        };
        // A client that is gone is no concern of a server.
        let _ = self.answer(&request, &answer, stream);
    }

    fn answer(&self, request: &Incoming, answer: &Answer, mut stream: TcpStream) -> std::io::Result<()> {
        if let Answer::Status(status, headers) = answer {
            return head(
                &mut stream,
                *status,
                0,
                headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
            );
        }
        if *answer == Answer::Loop {
            return head(&mut stream, 302, 0, vec![("Location".into(), request.path.clone())]);
        }
        let path = request.path.split('?').next().unwrap_or("");
        let parts: Vec<_> = path.trim_start_matches('/').split('/').collect();
        let repositories = self.state.lock().unwrap().repositories.clone();
        match parts.as_slice() {
            ["api", "models"] => self.search(request, &repositories, stream),
            // Without a revision, the main one is meant; Python asks that way.
            ["api", "models", owner, name, "revision", _] | ["api", "models", owner, name] => {
                let id = format!("{owner}/{name}");
                let revision = parts.get(5).unwrap_or(&"main");
                match repositories.get(&id).filter(|found| found.is(revision)) {
                    Some(found) => json(&mut stream, &listing(&id, found), Vec::new()),
                    None => head(&mut stream, 404, 0, vec![("X-Error-Code".into(), "RepoNotFound".into())]),
                }
            }
            ["api", "models", owner, name, "refs"] => match repositories.get(&format!("{owner}/{name}")) {
                Some(found) => json(&mut stream, &references(found), Vec::new()),
                None => head(&mut stream, 404, 0, vec![("X-Error-Code".into(), "RepoNotFound".into())]),
            },
            ["api", "models", owner, name, "tree", revision] => {
                let found = repositories.get(&format!("{owner}/{name}"));
                let Some(found) = found.filter(|found| *revision == found.commit) else {
                    return head(&mut stream, 404, 0, Vec::new());
                };
                json(&mut stream, &tree(found), Vec::new())
            }
            [owner, name, "resolve", revision, file @ ..] => {
                let found = repositories.get(&format!("{owner}/{name}"));
                let found = found.filter(|found| found.is(revision));
                let Some((found, content)) = found.and_then(|f| Some((f, f.files.get(&file.join("/"))?))) else {
                    return head(&mut stream, 404, 0, vec![("X-Error-Code".into(), "EntryNotFound".into())]);
                };
                if found.about.gated.is_some() && !request.headers.contains_key("authorization") {
                    return head(&mut stream, 401, 0, vec![("X-Error-Code".into(), "GatedRepo".into())]);
                }
                let mut headers = vec![("X-Repo-Commit".into(), found.commit.clone())];
                if content.large {
                    let hash = &content.sha256;
                    headers.push(("X-Linked-Size".into(), content.bytes.len().to_string()));
                    headers.push(("X-Linked-Etag".into(), format!("\"{hash}\"")));
                    // Another host, as far as names go.
                    headers.push((
                        "Location".into(),
                        format!("http://localhost:{}/cdn/{hash}?signature=secret", self.port),
                    ));
                    return head(&mut stream, 302, 0, headers);
                }
                headers.push(("ETag".into(), format!("\"{}\"", content.git)));
                self.file(request, answer, stream, &content.bytes, headers)
            }
            ["cdn", hash] => {
                let files = repositories.values().flat_map(|repository| repository.files.values());
                match files.into_iter().find(|content| content.sha256 == *hash) {
                    Some(content) => {
                        self.file(request, answer, stream, &content.bytes, vec![("ETag".into(), "\"cdn\"".into())])
                    }
                    None => head(&mut stream, 404, 0, Vec::new()),
                }
            }
            _ => head(&mut stream, 404, 0, Vec::new()),
        }
    }

    /// A page of models: `search`, `author`, `filter`, `limit` and a cursor, as the real one has them.
    fn search(
        &self,
        request: &Incoming,
        repositories: &BTreeMap<String, Repository>,
        mut stream: TcpStream,
    ) -> std::io::Result<()> {
        let query = request.path.split_once('?').map_or("", |(_, query)| query);
        let all = |key: &str| -> Vec<String> {
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs
                .filter(|(name, _)| *name == key)
                .map(|(_, value)| value.replace("%20", " ").replace("%2F", "/"))
                .collect()
        };
        let one = |key: &str| all(key).into_iter().next();
        let mut found: Vec<_> = repositories
            .iter()
            .filter(|(id, _)| one("search").is_none_or(|words| words.split(' ').all(|word| id.contains(word))))
            .filter(|(id, _)| one("author").is_none_or(|author| id.starts_with(&format!("{author}/"))))
            .filter(|(_, found)| all("filter").iter().all(|tag| found.about.tags.contains(tag)))
            .collect();
        found.sort_by_key(|(_, found)| std::cmp::Reverse(found.about.downloads));
        let start = one("cursor").map_or(0, |cursor| cursor.parse().unwrap());
        let limit = one("limit").map_or(usize::MAX, |limit| limit.parse().unwrap()).min(PAGE);
        let page: Vec<_> = found.iter().skip(start).take(limit).map(|(id, found)| summary(id, found)).collect();
        let mut headers = Vec::new();
        if found.len() > start + limit {
            let rest: Vec<_> = query.split('&').filter(|pair| !pair.starts_with("cursor=")).collect();
            let next = format!("{}/api/models?{}&cursor={}", self.endpoint(), rest.join("&"), start + limit);
            headers.push(("Link".into(), format!("<{next}>; rel=\"next\"")));
        }
        json(&mut stream, &page.into(), headers)
    }

    fn file(
        &self,
        request: &Incoming,
        answer: &Answer,
        mut stream: TcpStream,
        content: &[u8],
        mut headers: Vec<(String, String)>,
    ) -> std::io::Result<()> {
        headers.push(("Accept-Ranges".into(), "bytes".into()));
        if *answer == Answer::Endless {
            let text = "HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
            stream.write_all(text.as_bytes())?;
            loop {
                stream.write_all(b"400\r\n")?;
                stream.write_all(&[b'x'; 1024])?;
                stream.write_all(b"\r\n")?;
            }
        }
        if *answer == Answer::Compressed {
            headers.push(("Content-Encoding".into(), "gzip".into()));
        }
        let range = request
            .headers
            .get("range")
            .and_then(|range| range.strip_prefix("bytes=")?.split('-').next()?.parse().ok());
        let start: usize = range.filter(|_| *answer != Answer::IgnoreRange).unwrap_or(0);
        if start > content.len() {
            return head(&mut stream, 416, 0, headers);
        }
        let begins = if *answer == Answer::WrongRange { start / 2 } else { start };
        let mut body = &content[begins..];
        let mut changed = Vec::new();
        if *answer == Answer::Corrupt {
            changed.extend_from_slice(body);
            *changed.last_mut().unwrap() ^= 1;
            body = &changed;
        }
        let status = if range.is_some() && *answer != Answer::IgnoreRange { 206 } else { 200 };
        if status == 206 {
            let range = format!("bytes {begins}-{}/{}", content.len() - 1, content.len());
            headers.push(("Content-Range".into(), range));
        }
        head(&mut stream, status, body.len(), headers)?;
        if request.method == "HEAD" {
            return Ok(());
        }
        if let Answer::CutAfter(bytes) | Answer::StallAfter(bytes) = answer {
            body = &body[..body.len().min(*bytes)];
        }
        for chunk in body.chunks(256 << 10) {
            stream.write_all(chunk)?;
            self.state.lock().unwrap().sent += chunk.len() as u64;
        }
        if matches!(answer, Answer::StallAfter(_)) {
            // Ends when the client does.
            stream.read_exact(&mut [0])?;
        }
        Ok(())
    }
}

fn head(stream: &mut TcpStream, status: u16, length: usize, headers: Vec<(String, String)>) -> std::io::Result<()> {
    let mut text = format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {length}\r\n");
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    stream.write_all((text + "\r\n").as_bytes())
}

fn json(stream: &mut TcpStream, body: &Value, mut headers: Vec<(String, String)>) -> std::io::Result<()> {
    let body = body.to_string();
    headers.push(("Content-Type".into(), "application/json".into()));
    head(stream, 200, body.len(), headers)?;
    stream.write_all(body.as_bytes())
}

impl Repository {
    fn is(&self, revision: &str) -> bool {
        revision == "main" || revision == self.commit || self.about.version_tags.contains(&revision)
    }
}

/// A model of a list.
fn summary(id: &str, repository: &Repository) -> Value {
    let config = repository.files.get("config.json").and_then(|file| serde_json::from_slice::<Value>(&file.bytes).ok());
    let weights: u64 = repository.files.values().filter(|file| file.large).map(|file| file.bytes.len() as u64).sum();
    let gated = repository.about.gated.map_or(Value::Bool(false), Value::from);
    json!({"_id": "1", "id": id, "modelId": id, "sha": repository.commit, "private": false, "gated": gated,
           "author": id.split('/').next(), "lastModified": "2026-01-31T12:00:00.000Z",
           "createdAt": "2026-01-01T12:00:00.000Z", "disabled": false, "tags": repository.about.tags,
           "downloads": repository.about.downloads, "likes": 7, "library_name": "mlx",
           "pipeline_tag": "text-generation", "cardData": repository.about.card,
           "config": {"model_type": config.as_ref().map(|config| config["model_type"].clone())},
           "safetensors": {"parameters": {"U8": weights}, "total": weights}})
}

fn listing(id: &str, repository: &Repository) -> Value {
    let siblings: Vec<_> = repository
        .files
        .iter()
        .map(|(name, file)| match file.large {
            true => json!({"rfilename": name, "size": file.bytes.len(), "blobId": "0".repeat(40),
                           "lfs": {"sha256": file.sha256, "size": file.bytes.len(), "pointerSize": 134}}),
            false => json!({"rfilename": name, "size": file.bytes.len(), "blobId": file.git}),
        })
        .collect();
    let mut all = summary(id, repository);
    all["siblings"] = siblings.into();
    all
}

fn references(repository: &Repository) -> Value {
    let reference = |kind: &str, name: &str| json!({"name": name, "ref": format!("refs/{kind}/{name}"), "targetCommit": repository.commit});
    let tags: Vec<_> = repository.about.version_tags.iter().map(|name| reference("tags", name)).collect();
    json!({"branches": [reference("heads", "main")], "converts": [], "tags": tags})
}

/// What Python's client asks for instead.
fn tree(repository: &Repository) -> Value {
    let files = repository.files.iter().map(|(name, file)| match file.large {
        true => json!({"type": "file", "path": name, "size": file.bytes.len(), "oid": "0".repeat(40),
                       "lfs": {"oid": file.sha256, "size": file.bytes.len(), "pointerSize": 134}}),
        false => json!({"type": "file", "path": name, "size": file.bytes.len(), "oid": file.git}),
    });
    files.collect()
}

pub fn sha256(content: &[u8]) -> String {
    hex(&Sha256::digest(content))
}

pub fn git(content: &[u8]) -> String {
    hex(&Sha1::new_with_prefix(format!("blob {}\0", content.len())).chain_update(content).finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
