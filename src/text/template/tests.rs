use serde_json::{Map, Value, json};

use super::ChatTemplate;
use super::source::prepare;
use crate::error::{Code, Result};
use crate::request::Message;
use crate::text::TextFiles;

fn compile(template: &str) -> Result<ChatTemplate> {
    let files = TextFiles {
        label: "folder".into(),
        tokenizer_config: Some(json!({"bos_token": "<s>", "eos_token": {"content": "</s>"}}).to_string().into_bytes()),
        chat_templates: vec![("default".into(), template.into())],
        ..TextFiles::default()
    };
    ChatTemplate::from_files(&files).map(Option::unwrap)
}

fn render(template: &str) -> Result<String> {
    let messages = [Message::new("user", "Hi"), Message::new("assistant", "Ho"), Message::new("user", "é\"\n")];
    let tools = [json!({"type": "function", "function": {"name": "add", "parameters": {"b": 1, "a": [1.0, 1e-7]}}})];
    let extra: Map<String, Value> = [("thinking".to_owned(), json!(true))].into_iter().collect();
    compile(template)?.render(&messages, &tools, true, &extra)
}

#[test]
fn renders_as_transformers_does() {
    let cases = [
        (
            "{{ bos_token }}{% for m in messages %}[{{ m.role }}] {{ m['content'] }}{% endfor %}{{ eos_token }}",
            "<s>[user] Hi[assistant] Ho[user] é\"\n</s>",
        ),
        (
            "{% for m in messages %}\n  {% if m.role == 'user' %}\n{{ m.content.strip() }}\n  {% endif %}\n{% endfor %}",
            "Hi\né\"\n",
        ),
        (
            "{% for m in messages %}{% if loop.first %}{% continue %}{% endif %}{{ m.role }}{% break %}{% endfor %}",
            "assistant",
        ),
        ("{{ tools[0]['function'] | tojson }}", r#"{"name": "add", "parameters": {"b": 1, "a": [1.0, 1e-07]}}"#),
        ("{{ messages[2] | tojson }}", "{\"role\": \"user\", \"content\": \"é\\\"\\n\"}"),
        ("{{ {'a': [], 'b': [1, {}]} | tojson(indent=2) }}", "{\n  \"a\": [],\n  \"b\": [\n    1,\n    {}\n  ]\n}"),
        ("{{ messages[2].content | tojson(ensure_ascii=true) }}", "\"\\u00e9\\\"\\n\""),
        ("{{ undefined_thing }}|{{ messages[0].nothing }}|{{ thinking }}", "||True"),
        ("{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}", "3"),
        ("{% generation %}x{% endgeneration %}{%- generation -%} y {%- endgeneration %}", "xy"),
        ("{{ messages[::-1][0].content.split('\"')[0] }}{{ 'a,b'.split(',') | join('-') }}", "éa-b"),
        ("{% macro f(x, y='(,)') %}\n{{ x }}{{ y }}\n{% endmacro %}{{ f('1') }}", "1(,)\n"),
        ("{% set x %}\nab\n{% endset %}\n{{ x | upper }}", "AB\n"),
        ("{% raw %}{{ {% set x = 1 %} }}{% endraw %}{# {% set #}", "{{ {% set x = 1 %} }}"),
        ("{% set a, b = 1, 2 %}{{ b }}{% set c = 1 if thinking else 2 %}{{ c }}{{ '%}' }}", "21%}"),
        ("{{ tools is not none }}{{ documents is none }}{{ 'x' in 'xyz' }}{{ messages | length }}", "TrueTrueTrue3"),
        ("{% for k, v in {'a': 1}.items() %}{{ k }}{{ v }}{% endfor %}{{ {'a': 1}.get('z', 'd') }}", "a1d"),
        ("{{ 'Ab'.lower() }}{{ 'x'.startswith('x') }}{{ none }}{{ true }}{{ [1, 'a'] }}", "abTrueNoneTrue[1, 'a']"),
    ];
    for (template, expected) in cases {
        assert_eq!(render(template).unwrap(), expected, "{template}");
    }
    let year = render("{{ strftime_now('%Y-%m-%d') }}").unwrap();
    assert_eq!(year.len(), 10, "{year}");
}

#[test]
fn tool_calls_have_their_arguments_as_objects() {
    let call = json!({"id": "1", "function": {"name": "add", "arguments": "{\"a\": 1}"}});
    let message = Message { role: "assistant".into(), tool_calls: Some(vec![call]), ..Message::default() };
    let template =
        compile("{{ messages[0].tool_calls[0].function.arguments.a }}{{ messages[0].content == '' }}").unwrap();
    assert_eq!(template.render(&[message], &[], false, &Map::new()).unwrap(), "1True");
}

#[test]
fn named_templates_are_chosen_by_need() {
    let files = TextFiles {
        label: "folder".into(),
        tokenizer_config: Some(
            json!({"chat_template": [{"name": "default", "template": "D"}, {"name": "tool_use", "template": "T"}]})
                .to_string()
                .into_bytes(),
        ),
        ..TextFiles::default()
    };
    let template = ChatTemplate::from_files(&files).unwrap().unwrap();
    let render = |tools: &[Value]| template.render(&[Message::new("user", "x")], tools, true, &Map::new()).unwrap();
    assert_eq!(render(&[]), "D");
    assert_eq!(render(&[json!({})]), "T");
    let files = TextFiles { chat_templates: vec![("default".into(), "F".into())], ..files };
    let template = ChatTemplate::from_files(&files).unwrap().unwrap();
    assert_eq!(template.render(&[], &[], true, &Map::new()).unwrap(), "F", "a file of its own wins");
    assert!(ChatTemplate::from_files(&TextFiles::default()).unwrap().is_none());
}

#[test]
fn refusals_carry_the_templates_words() {
    let error = render("{{ raise_exception('Only user and assistant!') }}").err().unwrap();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.message().contains("Only user and assistant!") && error.message().contains("folder"), "{error}");
    let error = compile("line\n{% if %}").err().unwrap();
    assert_eq!(error.code(), Code::CorruptFile);
    assert!(error.message().contains("line 2"), "{error}");
    assert!(render("{{ messages[0].nothing.deeper }}").is_err());
}

/// Each of these would run for ever or fill the memory.
#[test]
fn hostile_templates_end_soon() {
    let hostile = [
        "{% for a in range(90000) %}{% for b in range(90000) %}{% set x = b %}{% endfor %}{% endfor %}",
        "{% for a in range(1000000000) %}{% endfor %}",
        "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
        "{% macro f(x) %}{{ f(x ~ x) }}{% endmacro %}{{ f('xxxxxxxxxxxxxxxx') }}",
        "{% set ns = namespace(s='xxxx') %}{% for i in range(64) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
        "{% set ns = namespace(s='xxxx') %}{% for i in range(64) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
        "{% set ns = namespace(s=['x']) %}{% for i in range(64) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s }}",
        "{% set ns = namespace(s='xxxx') %}{% for i in range(64) %}{% set t %}{{ ns.s }}{{ ns.s }}{% endset %}{% set ns.s = t %}{% endfor %}",
        "{% set s = 'x' * 1000000 %}{{ s | replace('x', s) }}",
        "{% set s = 'x' * 1000000 %}{{ s.replace('x', s) }}",
        "{% set s = 'x' * 1000000 %}{{ range(1000) | join(s) }}",
        "{% set s = 'x' * 1000000 %}{{ s.join(range(1000)) }}",
        "{{ 'x' * 10000000000 }}",
        "{{ 'x' | indent(10000000000, true) }}",
        "{{ '{:10000000000}'.format(1) }}",
        "{% for i in range(1000) %}{{ 'x' * 1000000 }}{% endfor %}",
    ];
    for template in hostile {
        let began = std::time::Instant::now();
        let error = render(template).err().unwrap_or_else(|| panic!("{template} renders"));
        assert_eq!(error.code(), Code::InvalidArgument, "{template}: {error}");
        assert!(began.elapsed().as_secs() < 60, "{template} took {:?}", began.elapsed());
    }
    let deep = format!("{}{}", "{% if 1 %}".repeat(6000), "{% endif %}".repeat(6000));
    assert!(compile(&deep).is_err());
}

#[test]
fn sources_without_sets_stay_as_they_are() {
    for source in ["", "plain", "{{ a }}", "{# {% set x = 1 %} #}", "{{ '{% set x = 1 %}' }}", "{% broken", "{{ 'open"]
    {
        assert_eq!(prepare(source), source);
    }
    assert_eq!(prepare("{%- set x = y -%} z"), "{%- set x = ( y)|__bounded -%} z");
}

fn data(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/templates").join(name)
}

fn read_json(path: &std::path::Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Templates in the manner of well-known models, with what transformers renders (`tests/parity/templates.py`).
#[test]
fn chats_render_as_in_transformers() {
    let (rendered, wrong) = chats_of(&data(""));
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), wrong.len() + rendered, wrong.join("\n"));
    assert!(rendered > 100, "only {rendered}");
}

/// Templates of a folder of one's own, after `tests/parity/templates.py FOLDER`.
#[test]
fn chats_render_as_in_transformers_in_a_folder() {
    let Some(folder) = std::env::var_os("POCKETMLX_TEMPLATES") else {
        return eprintln!("skipped: POCKETMLX_TEMPLATES names no folder");
    };
    let (rendered, wrong) = chats_of(std::path::Path::new(&folder));
    println!("{rendered} prompts are right");
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), wrong.len() + rendered, wrong.join("\n"));
    assert!(rendered > 0, "no template there renders");
}

/// How many chats render as they should, and which do not.
fn chats_of(folder: &std::path::Path) -> (usize, Vec<String>) {
    let (mut rendered, mut wrong) = (0, Vec::new());
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "jinja") {
            continue;
        }
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let cases = read_json(&path.with_extension("json"));
        let cases = cases.as_array().unwrap();
        let template = match compile(&std::fs::read_to_string(&path).unwrap()) {
            Ok(template) => template,
            // Python's parser refuses a few templates as well.
            Err(_) if cases.iter().all(|case| case["expected"].is_null()) => continue,
            Err(error) => {
                wrong.push(format!("{name}: {error}"));
                continue;
            }
        };
        for (at, case) in cases.iter().enumerate() {
            let messages: Vec<Message> = serde_json::from_value(case["messages"].clone()).unwrap();
            let tools = case["tools"].as_array().cloned().unwrap_or_default();
            let extra = case["template"].as_object().cloned().unwrap_or_default();
            let prompt = template.render(&messages, &tools, case["add_generation_prompt"] != json!(false), &extra);
            // What a template raises is passed on word for word.
            let raised = case["error"].as_str().and_then(|error| error.strip_prefix("TemplateError: "));
            // Where Python fails on a list that was not given, or on its own lazy lists, there may well be a prompt.
            let lenient = ["TypeError: 'NoneType' object is not iterable", "TypeError: Object of type generator"];
            let lenient = case["error"].as_str().is_some_and(|e| lenient.iter().any(|lenient| e.starts_with(lenient)));
            match (prompt, case["expected"].as_str()) {
                (Ok(prompt), Some(expected)) if prompt == expected => rendered += 1,
                (Ok(_), None) if lenient => {}
                (Err(error), None)
                    if error.code() == Code::InvalidArgument
                        && raised.is_none_or(|raised| error.message().ends_with(raised)) => {}
                (prompt, _) => wrong.push(format!("{name} {at}: {prompt:?}\n  not {case}")),
            }
        }
    }
    (rendered, wrong)
}

/// One-line templates for the language itself. Those of `differences.json` are known to differ from Python's Jinja:
/// rare methods and filters, and how some values print.
#[test]
fn the_language_is_that_of_jinja() {
    let all = read_json(&data("language.json"));
    let variables = all["variables"].as_object().unwrap();
    let cases = all["cases"].as_array().unwrap();
    let differs = |case: &&Value| {
        let result =
            compile(case["template"].as_str().unwrap()).and_then(|template| template.render(&[], &[], true, variables));
        match (result, case["expected"].as_str()) {
            (Ok(text), Some(expected)) => text != expected,
            (Err(_), None) => false,
            _ => true,
        }
    };
    let found: Vec<&Value> = cases.iter().filter(differs).map(|case| &case["template"]).collect();
    let known = read_json(&data("differences.json"));
    assert_eq!(json!(found), known, "the differences are not the known ones");
    assert!(cases.len() > 5 * found.len());
}
