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
    files: BTreeMap<String, (Vec<u8>, bool)>,
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

    /// Adds a repository, or a new commit of one; files of `.safetensors` are large ones.
    pub fn add(&self, id: &str, files: &[(&str, &[u8])]) -> String {
        let mut hasher = Sha1::new();
        let mut repository = Repository::default();
        for (name, content) in files {
            hasher.update(name.as_bytes());
            hasher.update(content);
            repository.files.insert((*name).to_owned(), (content.to_vec(), name.ends_with(".safetensors")));
        }
        repository.commit = hex(&hasher.finalize());
        let commit = repository.commit.clone();
        self.state.lock().unwrap().repositories.insert(id.to_owned(), repository);
        commit
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
            ["api", "models", owner, name, "revision", revision] => {
                let id = format!("{owner}/{name}");
                match repositories.get(&id).filter(|found| *revision == "main" || *revision == found.commit) {
                    Some(found) => {
                        let body = listing(&id, found).to_string();
                        head(&mut stream, 200, body.len(), vec![("Content-Type".into(), "application/json".into())])?;
                        stream.write_all(body.as_bytes())
                    }
                    None => head(&mut stream, 404, 0, vec![("X-Error-Code".into(), "RepoNotFound".into())]),
                }
            }
            ["api", "models", owner, name, "tree", revision] => {
                let found = repositories.get(&format!("{owner}/{name}"));
                let Some(found) = found.filter(|found| *revision == found.commit) else {
                    return head(&mut stream, 404, 0, Vec::new());
                };
                let body = tree(found).to_string();
                head(&mut stream, 200, body.len(), vec![("Content-Type".into(), "application/json".into())])?;
                stream.write_all(body.as_bytes())
            }
            [owner, name, "resolve", revision, file @ ..] => {
                let found = repositories.get(&format!("{owner}/{name}"));
                let found = found.filter(|found| *revision == "main" || *revision == found.commit);
                let Some((found, (content, large))) = found.and_then(|f| Some((f, f.files.get(&file.join("/"))?)))
                else {
                    return head(&mut stream, 404, 0, vec![("X-Error-Code".into(), "EntryNotFound".into())]);
                };
                let mut headers = vec![("X-Repo-Commit".into(), found.commit.clone())];
                if *large {
                    let hash = sha256(content);
                    headers.push(("X-Linked-Size".into(), content.len().to_string()));
                    headers.push(("X-Linked-Etag".into(), format!("\"{hash}\"")));
                    // Another host, as far as names go.
                    headers.push((
                        "Location".into(),
                        format!("http://localhost:{}/cdn/{hash}?signature=secret", self.port),
                    ));
                    return head(&mut stream, 302, 0, headers);
                }
                headers.push(("ETag".into(), format!("\"{}\"", git(content))));
                self.file(request, answer, stream, content, headers)
            }
            ["cdn", hash] => {
                let files = repositories.values().flat_map(|repository| repository.files.values());
                match files.map(|(content, _)| content).find(|content| sha256(content) == *hash) {
                    Some(content) => {
                        self.file(request, answer, stream, content, vec![("ETag".into(), "\"cdn\"".into())])
                    }
                    None => head(&mut stream, 404, 0, Vec::new()),
                }
            }
            _ => head(&mut stream, 404, 0, Vec::new()),
        }
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
        let mut body = content[begins..].to_vec();
        if *answer == Answer::Corrupt {
            *body.last_mut().unwrap() ^= 1;
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
            body.truncate(*bytes);
        }
        for chunk in body.chunks(64 << 10) {
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

fn listing(id: &str, repository: &Repository) -> Value {
    let siblings: Vec<_> = repository
        .files
        .iter()
        .map(|(name, (content, large))| match large {
            true => json!({"rfilename": name, "size": content.len(), "blobId": "0".repeat(40),
                           "lfs": {"sha256": sha256(content), "size": content.len(), "pointerSize": 134}}),
            false => json!({"rfilename": name, "size": content.len(), "blobId": git(content)}),
        })
        .collect();
    json!({"_id": "1", "id": id, "modelId": id, "sha": repository.commit, "private": false, "gated": false,
           "disabled": false, "tags": [], "downloads": 0, "likes": 0, "siblings": siblings})
}

/// What Python's client asks for instead.
fn tree(repository: &Repository) -> Value {
    let files = repository.files.iter().map(|(name, (content, large))| match large {
        true => json!({"type": "file", "path": name, "size": content.len(), "oid": "0".repeat(40),
                       "lfs": {"oid": sha256(content), "size": content.len(), "pointerSize": 134}}),
        false => json!({"type": "file", "path": name, "size": content.len(), "oid": git(content)}),
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
