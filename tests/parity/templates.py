"""Writes tests/data/templates: what transformers renders the templates there to.

    python tests/parity/templates.py [FOLDER]       (needs transformers and mlx-lm)

Each NAME.jinja gets a NAME.json with chats, and the prompt or the error of each. `language.json` holds one-line
templates for the language itself. With a FOLDER it does the same for the templates there, such as llama.cpp's
`models/templates`; `POCKETMLX_TEMPLATES=FOLDER cargo test --lib chats_render` then compares.
"""

import copy
import json
import signal
import sys
from pathlib import Path

from mlx_lm.server import process_message_content
from transformers.utils.chat_template_utils import render_jinja_template

OUT = Path(__file__).parent.parent / "data" / "templates"
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}

TOOLS = [
    {"type": "function", "function": {
        "name": "tide", "description": "When high water is.\nFor \"any\" <harbour> & day",
        "parameters": {"type": "object", "required": ["harbour"], "properties": {
            "harbour": {"type": "string", "description": "The harbour's name"},
            "unit": {"type": "string", "enum": ["m", "ft"], "default": "m"},
            "days": {"type": "integer", "minimum": 1},
            "tags": {"type": "array", "items": {"type": "string"}},
            "at": {"type": "object", "properties": {"lat": {"type": "number"}, "lon": {"type": "number"}},
                   "required": ["lat"]},
            "note": {"type": ["string", "null"]},
            "exact": {"type": "boolean", "default": True}}}}},
    {"type": "function", "function": {"name": "noop", "parameters": {"type": "object", "properties": {}}}},
]


def call(id, name, arguments):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


USER = {"role": "user", "content": "When is <high water> in Zierikzee & \"Goes\"? 😀\n"}
SYSTEM = {"role": "system", "content": "You are a pilot.\n  Be brief."}
ANSWER = {"role": "assistant", "content": "  At noon.\n"}
THOUGHT = {"role": "assistant", "content": "<think>\nlet me see\n</think>\n\nAt six."}
ARGUMENTS = {"harbour": "Zürich", "days": 3, "tags": ["a", "b\""], "at": {"lat": 1.5, "lon": -0.25}, "exact": False}
CALLS = {"role": "assistant", "content": None,
         "tool_calls": [call("abcdefghi", "tide", json.dumps(ARGUMENTS, ensure_ascii=False))]}
TWO_CALLS = {"role": "assistant", "content": "I'll look.",
             "tool_calls": [call("abcdefghi", "tide", {"harbour": "Goes"}), call("jklmnopqr", "noop", {})]}
RESULT = {"role": "tool", "tool_call_id": "abcdefghi", "name": "tide", "content": "{\"hours\": [6.5, 18]}"}
SECOND = {"role": "tool", "tool_call_id": "jklmnopqr", "content": "ok"}
PARTS = {"role": "user", "content": [{"type": "text", "text": "And "}, {"type": "text", "text": "now?"}], "name": "Mara"}
DOCUMENTS = [{"title": "tides of zeeland", "text": "Water rises and falls twice a day, and a little later every day.",
              "score": 0.8765}, {"title": "Harbours", "text": "Goes has one."}]

CHATS = [
    {"messages": [USER]},
    {"messages": [USER], "add_generation_prompt": False},
    {"messages": [SYSTEM, USER, ANSWER, PARTS]},
    {"messages": [PARTS, THOUGHT, USER, THOUGHT], "add_generation_prompt": False},
    {"messages": [USER], "tools": TOOLS, "template": {"enable_thinking": False}},
    {"messages": [SYSTEM, USER, CALLS, RESULT], "tools": TOOLS},
    {"messages": [USER, TWO_CALLS, RESULT, SECOND, ANSWER, PARTS], "tools": TOOLS,
     "template": {"enable_thinking": True, "tools_in_user": False, "date_string": "1 Jan 2026"}},
    {"messages": [USER, USER]},
    {"messages": [SYSTEM, SYSTEM, {"role": "pilot", "content": ""}]},
    {"messages": [USER, ANSWER, USER], "template": {"documents": DOCUMENTS, "eos_token": "<eot>"}},
    {"messages": [USER, {"role": "stop", "content": "x"}, USER]},
]

VALUES = {
    "i": 3, "j": -7, "f": 2.5, "g": 1e-7, "h": 1e20, "s": "Hello, World", "t": "  a b\tc\n", "u": "ünï 日本", "e": "",
    "q": "it's \"x\" <b>&\\", "d": {"a": 1, "b": [1, 2], "c": {"x": "y"}, "B": None}, "l": [3, 1, 2],
    "m": ["b", "A", "a", "C"], "n": None, "y": True, "o": False, "w": [], "x": {},
    "r": [{"k": "v1", "n": 2}, {"k": "v0", "n": 1}, {"k": "V1"}], "num": "42", "fl": "3.75",
}

# Between semicolons, which the language has no use for.
EXPRESSIONS = """
i + f ; j - i ; i * 2.0 ; 7 // 2 ; -7 // 2 ; 7.5 // -2 ; -7 % 3 ; 7 % -3 ; 5.5 % -2 ; 2 ** 8 ; 2 ** -1 ; -2 ** 2 ; 1
/ 4 ; h // 3 ; s + e ; l + [4] ; 'ab' * 3 ; [0] * 2 ; y + y ; s ~ i ~ n ~ y ; 1 ~ 2 + 3 ; 1 + 2 ~ 3 ; i < f ; i ==
3.0 ; 1 == true ; s < 'I' ; 1 < 2 < 3 ; 3 > 2 > 2 ; l == [3,1,2] ; d == {'a': 1} ; (1,2) == [1,2] ; undef == undef2
; n == undef ; 'lo' in s ; 2 in l ; 'a' in d ; 1 not in l ; undef in l ; not s ; s and i ; e or 'x' ; n or w or x ;
i if y else j ; 1 if o ; not y == o ; s[0] ; s[-1] ; s[99] ; s[1:5] ; s[::-1] ; s[::2] ; s[-3:] ; l[-1] ; l[5] ;
l[1:] ; l[::-1] ; l[10:0:-3] ; d.a ; d['b'][1] ; d.c.x ; d.zz ; d['items'] is defined ; r[0].k ; l.0 ; m[:-1] ;
(1,2,3)[1:] ; s.upper() ; s.lower() ; u.upper() ; t.strip() ; t.lstrip() ; t.rstrip() ; s.strip('Hd') ; t.split() ;
s.split(',') ; s.split('l', 1) ; 'a,,b'.split(',') ; ' a b '.split(' ') ; s.rsplit('l', 1) ; 'a b c'.rsplit() ; 'a b
c'.split(none, 1) ; 'a\\nb\\r\\nc'.splitlines() ; 'a\\nb'.splitlines(true) ; s.startswith('He') ;
s.endswith(('x','ld')) ; s.replace('l','L') ; s.replace('l','L',2) ; s.replace('','-') ; s.find('o') ; s.find('o',5)
; s.rfind('o') ; s.find('zz') ; s.index('W') ; s.count('l') ; ', '.join(m) ; s.title() ; "they're bill's".title() ;
s.capitalize() ; s.swapcase() ; '12'.isdigit() ; 'ab'.isalpha() ; 'a1'.isalnum() ; ' '.isspace() ; 'AB'.isupper() ;
'ab'.islower() ; num.zfill(5) ; '-5'.zfill(4) ; 'x'.center(5,'*') ; 'ab'.center(5) ; 'x'.ljust(3) ; 'x'.rjust(3,'.')
; s.removeprefix('He') ; s.removesuffix('ld') ; s.partition(', ') ; s.rpartition('l') ; s.partition('zz') ;
d.get('a') ; d.get('zz') ; d.get('zz', 5) ; d.items() ; d.keys() ; d.values() ; d.items()|list ; l.index(1) ;
l.count(1) ; 'a\\tb'.expandtabs(4) ; '%s-%d' % (s, i) ; '%5.1f|%-5s|%05d' % (f, 'a', i) ; '%(a)s' % d ; '%%' ; '%r'
% q ; '%x %X %o' % (255, 255, 8) ; '%e' % h ; '%g %g' % (g, 1234567.0) ; '{} {}'.format(s, i) ;
'{1}{0}'.format('a','b') ; '{a}'.format(a=1) ; '{0[b]} {0[c][x]}'.format(d) ; '{:>6}|{:<6}|{:^6}|{:*^7}'.format(i,
i, i, 'x') ; '{:05.1f} {:+d} {:,} {:x} {:%}'.format(f, i, 1234567, 255, 0.5) ; '{!r:>8}'.format('a') ;
'{:.2}'.format(s) ; '{{}}'.format() ; '{:g} {:e}'.format(1e-5, 1e10) ; s|length ; w|length ; d|length ; undef|length
; s|upper ; s|lower ; t|trim ; 'xax'|trim('x') ; s|capitalize ; 'a-b (c'|title ; s|replace('l','1') ;
s|replace('l','1',1) ; s|reverse ; l|reverse|list ; l|first ; l|last ; w|first ; l|sort ; m|sort ;
m|sort(case_sensitive=true) ; l|sort(reverse=true) ; r|sort(attribute='k')|map(attribute='k')|list ; m|unique|list ;
l|min ; l|max ; m|max ; l|sum ; r|map(attribute='n', default=0)|sum ; r|selectattr('n')|list ;
r|selectattr('n','defined')|map(attribute='k')|join ; r|rejectattr('k','equalto','v1')|list|length ;
r|selectattr('n','gt',1)|list ; l|select('odd')|list ; l|reject('gt',1)|list ; m|map('upper')|join('-') ; l|join ;
l|join(', ') ; r|join('/', attribute='k') ; d|dictsort ; d|dictsort(reverse=true) ;
{'b':1,'a':2}|dictsort(by='value') ; d|items|list ; undef|default('D') ; e|default('D') ; e|default('D',true) ; n|d('x')
; num|int ; 'x'|int ; 'x'|int(7) ; '0x1f'|int(0,16) ; fl|float ; fl|int ; f|int ; '1e3'|float ; -3|abs ; 2.5|round ;
3.5|round ; 2.675|round(2) ; f|round(0,'floor') ; f|round(method='ceil') ; 1234|round(-2) ; i|string ; l|string ;
s|list ; d|list ; (1,2)|list ; d|tojson ; d|tojson(indent=2) ; r|tojson(indent=1) ; d|tojson(sort_keys=true) ; u|tojson ;
u|tojson(ensure_ascii=true) ; q|tojson ; l|tojson(separators=(',',':')) ; w|tojson(indent=2) ;
[g,h,f,1.0,none,true]|tojson ; '\\x7f\\u2028'|tojson ; {1:2,none:3,true:4}|tojson ; (1,2)|tojson ;
'a\\nb\\n\\nc'|indent ; 'a\\nb'|indent(2,true) ; 'a\\n\\nb'|indent(2,blank=true) ; 'a\\nb'|indent('> ') ;
'x'|center(5) ; s|truncate(8) ; s|truncate(8,true) ; s|truncate(7,true,'') ; 'a b c'|wordcount ; q|escape ; q|e|safe
; '<b>'|safe + '<i>' ; '%s=%s'|format('a',1) ; l|batch(2)|list ; l|batch(2,'x')|list ; i is odd ; i is even ; i is
divisibleby 3 ; i is number ; f is float ; y is boolean ; y is number ; s is string ; l is sequence ; s is sequence
; d is mapping ; d is sequence ; l is iterable ; n is iterable ; undef is iterable ; i is iterable ; s is iterable ; n is none ; undef is defined ; undef is undefined ; y is true ; o
is false ; i is integer ; y is integer ; s is callable ; s is upper ; 'ab' is lower ; i in [1,3] ; i is in [1,3] ; i
is eq 3 ; i is gt 2 ; i is sameas 3 ; n is not none ; i is not string ; range(3)|list ; range(1,7,2)|list ;
range(3,0,-1)|list ; dict(a=1, b=2) ; namespace(a=1).a ; [n, y, q, 'x', 1.0, 1e16, 1e-5, 'tab\\t'] ; {'a': {'b':
[]}} ; 'a' 'b' ; '\\x41\\u00e9\\n' ; "q\\"q" ; 0x1F ; 1_000 ; 1e3 ; 0.5 ; [1,2,] ; (1,) ; () ; {} ; -i ; +f ; not
not i ; raise_exception('stop') ; undef.x ; n.x ; n + 1 ; s + 1 ; 1 / 0 ; l['a'].b ; w[0].x ; s.nope() ; undef() ;
d|nosuch ; i is nosuch ; s|join(1)(2) ; n|length ; i|list ; 'a' < 1 ; []|tojson(x=1) ; -s
"""


def render(template, variables, messages=(), tools=None, add_generation_prompt=False):
    messages = copy.deepcopy(list(messages))
    process_message_content(messages)
    messages = [{k: v for k, v in m.items() if v is not None} for m in messages]
    signal.alarm(5)
    try:
        rendered, _ = render_jinja_template(
            [messages], tools=tools, chat_template=template, add_generation_prompt=add_generation_prompt,
            **{"documents": None, **TOKENS, **variables},
        )
        return {"expected": rendered[0]}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    finally:
        signal.alarm(0)


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else OUT
    for path in sorted(folder.glob("*.jinja")):
        template = path.read_text()
        cases = []
        for chat in CHATS:
            result = render(template, chat.get("template", {}), chat["messages"], chat.get("tools"),
                            chat.get("add_generation_prompt", True))
            cases.append({**chat, **result})
        path.with_suffix(".json").write_text(json.dumps(cases, ensure_ascii=False, indent=1) + "\n")
        print(path.stem, sum("expected" in case for case in cases), "of", len(cases), "render")
    if folder != OUT:
        return
    cases = []
    for expression in EXPRESSIONS.split(";"):
        template = "{{ " + expression.strip().replace("\n", " ") + " }}"
        cases.append({"template": template, **render(template, VALUES)})
    (OUT / "language.json").write_text(
        json.dumps({"variables": VALUES, "cases": cases}, ensure_ascii=False, indent=0) + "\n")
    print("language", len(cases))


if __name__ == "__main__":
    main()
