//! What docker's users write, and what docker prints for it.

use super::*;
use serde_json::json;

fn image() -> Json {
    json!({
        "Id": "sha256:0123456789",
        "RepoTags": ["a:1", "b:2"],
        "Size": 4_263_000,
        "Config": {
            "Env": ["PATH=/bin", "A=<b> & c"],
            "Entrypoint": null,
            "Labels": { "org.opencontainers.image.version": "1.2", "plain": "x" },
            "Volumes": null,
            "User": "",
        },
    })
}

fn print(text: &str) -> String {
    let text = text.parse::<Template>().unwrap().values(&[image()]).unwrap();
    text.strip_suffix('\n').unwrap().to_owned()
}

#[test]
fn prints_what_docker_prints() {
    for (template, printed) in [
        ("{{.Id}}", "sha256:0123456789"),
        ("{{ .Id }}-{{.Size}}", "sha256:0123456789-4263000"),
        ("{{range .Config.Env}}{{println .}}{{end}}", "PATH=/bin\nA=<b> & c\n"),
        ("{{range $i, $e := .Config.Env}}{{if $i}},{{end}}{{$e}}{{end}}", "PATH=/bin,A=<b> & c"),
        ("{{range $k, $v := .Config.Labels}}{{$k}}={{$v}} {{end}}", "org.opencontainers.image.version=1.2 plain=x "),
        ("{{json .Config.Env}}", r#"["PATH=/bin","A=<b> & c"]"#),
        ("{{json .Config.Entrypoint}} {{json .Config.Volumes}}", "null null"),
        ("{{.Config.Entrypoint}} {{.Config.Volumes}} {{len .Config.Entrypoint}}", "[] map[] 0"),
        ("{{.RepoTags}}", "[a:1 b:2]"),
        ("{{index .RepoTags 0}}", "a:1"),
        ("{{(index .RepoTags 1) | upper}}", "B:2"),
        ("{{index .Config.Labels \"org.opencontainers.image.version\"}}", "1.2"),
        ("{{index .Config.Labels \"absent\"}}|{{.Config.Labels.absent}}|{{.Config.Labels.plain}}", "||x"),
        ("{{if .Config.Labels.absent}}a{{else if eq .Config.Labels.plain \"x\"}}b{{end}}", "b"),
        ("{{with .Config.User}}{{.}}{{else}}root{{end}}", "root"),
        ("{{join .RepoTags \", \"}}", "a:1, b:2"),
        ("{{join .Config.Entrypoint \" \"}}", ""),
        ("{{len .RepoTags}} {{len .Id}}", "2 17"),
        ("{{split .Id \":\"}} {{index (split .Id \":\") 1}}", "[sha256 0123456789] 0123456789"),
        ("{{upper \"aé\"}} {{lower \"AÉ\"}} {{title \"ab cd-ef\"}}", "AÉ aé Ab Cd-Ef"),
        ("{{truncate .Id 8}}{{pad \"x\" 1 2}}|{{pad \"\" 1 2}}|", "sha256:0 x  ||"),
        ("{{printf \"%-5s|%5d|%q|%.3s\" \"ab\" 12 \"c\" .Id}}", "ab   |   12|\"c\"|sha"),
        ("{{.Id | printf \"%s!\"}}", "sha256:0123456789!"),
        ("{{if and (eq 1 1) (ne .Id \"\") (not .Config.User)}}yes{{end}}", "yes"),
        ("{{if or .Config.User (gt .Size 5)}}big{{end}}", "big"),
        ("{{slice .Id 7 10}}", "012"),
        ("{{$tags := .RepoTags}}{{len $tags}}{{$.Config.Labels.plain}}", "2x"),
        ("{{/* nothing */}}a {{- .Config.User -}} b", "ab"),
        ("{{define \"t\"}}<{{.}}>{{end}}{{template \"t\" .Id}}", "<sha256:0123456789>"),
        (r"{{.Size}}\t{{.Size}}\n", "4263000\t4263000\n"),
        ("{{\"a\\tb\"}}", "a\tb"),
        ("{{range .RepoTags}}{{if eq . \"b:2\"}}{{break}}{{end}}{{.}}{{end}}", "a:1"),
    ] {
        assert_eq!(print(template), printed, "{template}");
    }
    let whole: Json = serde_json::from_str(&print("{{json .}} ")).unwrap();
    assert_eq!(whole, image());
}

#[test]
fn a_method_is_called_however_it_is_written() {
    let row = json!({ "ID": "1", "Labels": "a=b", "Label": { "a": "b" } });
    let fields = [("ID", "ID"), ("Labels", "LABELS"), ("Label", "")];
    let print = |text: &str| text.parse::<Template>().unwrap().rows(&fields, std::slice::from_ref(&row), true);
    for text in ["{{.Label \"a\"}}", "{{$.Label \"a\"}}", "{{\"a\" | .Label}}", "{{lower (.Label \"a\")}}"] {
        assert_eq!(print(text).unwrap(), "b\n", "{text}");
    }
    assert_eq!(print("{{if eq (.Label \"a\") \"b\"}}{{.ID}}{{end}}{{.Label \"none\"}}").unwrap(), "1\n");
    assert_eq!(print("{{json .}}").unwrap(), "{\"ID\":\"1\",\"Labels\":\"a=b\"}\n");
    assert_eq!(print("{{.Label}}").unwrap_err().causes, ["Label takes the name of a label"]);
}

#[test]
fn a_table_has_headings_in_columns() {
    let rows = [json!({ "ID": "1", "Names": "a-long-name-indeed" }), json!({ "ID": "2", "Names": "b" })];
    let fields = [("ID", "CONTAINER ID"), ("Names", "NAMES")];
    let print = |text: &str, heading| text.parse::<Template>().unwrap().rows(&fields, &rows, heading).unwrap();
    let table = "NAMES                CONTAINER ID\na-long-name-indeed   1\nb                    2\n";
    assert_eq!(print(r"table {{.Names}}\t{{.ID}}", true), table);
    assert_eq!(print("table {{.Names}}\t{{upper .ID}}", true), table);
    assert_eq!(print(r"table {{.Names}}\t{{.ID}}", false), table.split_once('\n').unwrap().1);
    assert_eq!(print("table {{index (split .Names \"-\") 0}}", true), "NAMES\na\nb\n");
    assert_eq!(print("{{.ID}}", true), "1\n2\n");
}

#[test]
fn what_is_wrong_is_said_with_what_can_be_written() {
    for (text, why, hint) in [
        ("{{.ID", "unclosed action", "{{.ID}}"),
        ("{{if .ID}}", "not every block has its {{end}}", "{{end}}"),
        ("{{.ID}}{{end}}{{.ID}}", "not every block has its {{end}}", "{{end}}"),
        ("{{.ID}}{{else}}{{.ID}}", "not every block has its {{end}}", "{{end}}"),
        ("{{define \"a\"}}{{.ID}}", "not every block has its {{end}}", "{{end}}"),
        ("{{ID}}", "there is no function ID", "fields start with a dot; functions are and, call, eq,"),
        ("{{.ID | shout}}", "there is no function shout", "upper, urlquery"),
        ("{{range .A}}{{nope .}}{{end}}", "there is no function nope", "truncate"),
    ] {
        let error = text.parse::<Template>().unwrap_err();
        assert!(error.why.contains(why) && error.hint.as_ref().unwrap().contains(hint), "{text}: {error:?}");
    }
    let fields = [("ID", "ID"), ("Names", "NAMES")];
    let failed = |text: &str, rows: &[Json]| text.parse::<Template>().unwrap().rows(&fields, rows, true).unwrap_err();
    for text in ["{{.Id}}", "table {{.Id}}", "{{range split .Id \",\"}}{{end}}"] {
        let failure = failed(text, &[]);
        assert_eq!(
            (failure.causes[0].as_str(), failure.hint.unwrap().as_str()),
            ("there is no Id", "one of ID, Names")
        );
    }
    assert_eq!(failed("{{index .ID 9}}", &[json!({ "ID": "1" })]).causes, ["index out of range: 9"]);
    assert_eq!(
        failed("{{truncate .ID \"x\"}}", &[json!({ "ID": "1" })]).causes,
        ["truncate takes a text and how much of it"]
    );

    let inspect = |text: &str| text.parse::<Template>().unwrap().values(&[image()]).unwrap_err();
    assert_eq!(inspect("{{.Foo}}").hint.unwrap(), "one of Config, Id, RepoTags, Size");
    assert_eq!(inspect("{{.Config.Foo}}").hint.unwrap(), "one of Entrypoint, Env, Labels, User, Volumes");
    assert_eq!(inspect("{{with .Config}}{{.Foo}}{{end}}").causes, ["there is no Foo"]);
    assert_eq!(inspect("table {{.Id}}").what, "cannot print a table");
    // A loop ends.
    assert_eq!(inspect("{{range 100000000}}{{end}}").causes, ["range iteration budget exhausted"]);
    assert_eq!(
        inspect("{{define \"t\"}}{{template \"t\"}}{{end}}{{template \"t\"}}").causes,
        ["recursion limit exceeded"]
    );
}

#[test]
fn on_a_terminal_nothing_foreign_is_obeyed() {
    let row = json!({ "A": "x\u{1b}[2J" });
    assert!(matches!(of("", &row["A"], Foreign::Escaped), gotmpl::Value::String(text) if &*text == "x\\u{1b}[2J"));
    assert!(matches!(of("", &row["A"], Foreign::AsIs), gotmpl::Value::String(text) if &*text == "x\u{1b}[2J"));
}
