//! The other verbs, and the flags before a verb.

use super::{call, message};
use crate::cli::{Verb, parse, tree};
use crate::ui::Level;

#[test]
fn verbs_have_dockers_names() {
    for (words, verb) in [
        ("run x", "Run("),
        ("container run x", "Run("),
        ("ps -a", "Ps(Ps { all: true"),
        (
            "container ls -aq",
            "Ps(Ps { all: true, filter: [], last: None, latest: false, size: false, pod: false, quiet: true",
        ),
        (
            "container list --no-trunc",
            "Ps(Ps { all: false, filter: [], last: None, latest: false, size: false, pod: false, quiet: false, no_trunc: true",
        ),
        (
            "ps --format json",
            "Ps(Ps { all: false, filter: [], last: None, latest: false, size: false, pod: false, quiet: false, no_trunc: false, noheading: false, format: Json",
        ),
        (
            "rm -f a b",
            "Remove(Remove { force: true, ignore: false, volumes: false, which: Which { all: false, latest: false, containers: [ContainerId(\"a\"), ContainerId(\"b\")]",
        ),
        (
            "container rm a --force",
            "Remove(Remove { force: true, ignore: false, volumes: false, which: Which { all: false, latest: false, containers: [ContainerId(\"a\")]",
        ),
        ("create --name a x", "Create(Run {"),
        ("container start a b", "Start(Start { attach: false, interactive: false"),
        ("start -ai a", "Start(Start { attach: true, interactive: true"),
        ("attach --no-stdin a", "Attach(Attach { no_stdin: true"),
        (
            "stop -t 3 -s INT -a",
            "Stop(Stop { ignore: false, signal: Some(Signal(2)), time: Some(Seconds(3)), which: Which { all: true",
        ),
        ("restart --timeout -1 -l", "Restart(Restart { signal: None, time: Some(Endless), running: false"),
        ("kill a", "Kill(Kill { signal: Signal(9)"),
        ("container wait a", "Wait(Wait { condition: [], interval: None, ignore: false"),
        ("container prune -f", "ContainerPrune(ContainerPrune { force: true"),
        ("healthcheck run a", "HealthCheck(HealthCheck {"),
        ("system start-all", "StartAll(StartAll"),
        ("system stop-all", "StopAll(StopAll"),
        ("system enable", "Enable(Enable"),
        ("system disable", "Disable(Disable"),
        ("rename a b", "Rename(Rename { container: ContainerId(\"a\"), name: ContainerId(\"b\")"),
        ("images -q", "ImageList(ImageList { all: false, filter: [], digests: false, quiet: true"),
        (
            "image ls --format=json",
            "ImageList(ImageList { all: false, filter: [], digests: false, quiet: false, no_trunc: false, noheading: false, format: Json",
        ),
        ("rmi busybox", "ImageRemove(ImageRemove { all: false, force: false, images: [\"busybox\"]"),
        ("image rm -f a b", "ImageRemove(ImageRemove { all: false, force: true, images: [\"a\", \"b\"]"),
        ("logs -f --tail 5 --since 0 a b", "Logs(Logs { follow: true, tail: Count(Some(5)), since: Some(Moment(0))"),
        (
            "container logs -lt",
            "Logs(Logs { follow: false, tail: Count(None), since: None, until: None, timestamps: true",
        ),
        ("pull -q x", "Pull(Pull { all_tags: false, platform: None, quiet: true, disable_content_trust: true"),
        ("image pull -a x --tls-verify=false", "Pull(Pull { all_tags: true"),
        (
            "push -q a b",
            "Push(Push { all_tags: false, disable_content_trust: true, platform: None, outgoing: Outgoing { compression_format: None",
        ),
        ("image push -a a", "Push(Push { all_tags: true"),
        ("login -u a --password-stdin h", "Login(Login { username: Some(\"a\")"),
        ("logout --all", "Logout(Logout { all: true"),
        ("tag a b", "Tag(Tag { source: \"a\", target: \"b\" }"),
        ("image untag a b c", "Untag(Untag { source: \"a\", names: [\"b\", \"c\"] }"),
        ("save -o f a b", "Save(Save { output: Some(\"f\")"),
        ("image save --format oci-dir a", "Save(Save { output: None, format: Directory"),
        ("load -i f", "Load(Load { input: Some(\"f\")"),
        ("image prune -af", "ImagePrune(ImagePrune { all: true, force: true, filter: [] }"),
        ("system df", "DiskUsage("),
        ("system prune -af", "SystemPrune(SystemPrune { all: true, force: true, volumes: false }"),
        ("rm -v a", "Remove(Remove { force: false, ignore: false, volumes: true"),
        ("secret create --env -l a=b x FILE", "Secret(Create(Create { driver: \"file\", env: true"),
        ("secret ls -q --filter name=a", "Secret(List(List { filter: [Name(\"a\")], quiet: true"),
        ("secret inspect a b", "Secret(Inspect(Inspect { format: None, secrets: [\"a\", \"b\"] }"),
        ("secret rm -a", "Secret(Remove(Remove { all: true"),
        ("secret exists a", "Secret(Exists("),
        ("volume create -d local --label a=b -o size=1m x", "VolumeCreate(VolumeCreate { driver: \"local\""),
        ("volume list -q -f dangling=true", "VolumeList(VolumeList { filter: [Dangling(true)], quiet: true"),
        ("volume inspect -f json a b", "VolumeInspect(VolumeInspect { all: false, format: Some(Json), volumes: [\"a\""),
        ("volume remove -f a", "VolumeRemove(VolumeRemove { all: false, force: true, volumes: [\"a\"]"),
        ("volume prune -af --filter label!=x", "VolumePrune(VolumePrune { all: true, filter: [NotLabel("),
        ("volume exists a", "VolumeExists("),
        ("volume export -o f a", "VolumeExport(VolumeExport { output: Some(\"f\"), volume: \"a\" }"),
        ("volume import a", "VolumeImport(VolumeImport { volume: \"a\", file: \"-\" }"),
        ("system check --repair", "Check(Check { repair: true"),
        ("tags a", "Tags("),
        ("search h.example/a", "Search("),
        ("manifest inspect a", "Manifest(Inspect(ManifestInspect {"),
        ("manifest create --amend a b", "Manifest(Create(ManifestCreate { all: false, amend: true"),
        ("manifest add --all a b", "Manifest(Add(ManifestAdd { all: true"),
        (
            "manifest annotate --arch x a b",
            "Manifest(Annotate(ManifestAnnotate { index: false, about: About { arch: Some(\"x\")",
        ),
        ("manifest push --rm a b", "Manifest(Push(ManifestPush { all: true, purge: true"),
        ("manifest push -p a", "Manifest(Push(ManifestPush { all: true, purge: true"),
        ("manifest remove a b", "Manifest(Remove("),
        ("manifest rm a b", "Manifest(Delete("),
        ("manifest exists a", "Manifest(Exists("),
        ("image inspect a b", "ImageInspect(ImageInspect { format: None, images: [\"a\", \"b\"] }"),
        ("history -q a", "History(History { quiet: true, no_trunc: false, human: true"),
        ("image history -H=false a", "History(History { quiet: false, no_trunc: false, human: false"),
        ("image tree --whatrequires a", "ImageTree(ImageTree { whatrequires: true, image: \"a\""),
        ("commit -a me -m why -c CMD=x a b:1", "Commit(Commit { author: \"me\""),
        ("container commit -p=false a b", "Commit(Commit { author: \"\", change: [], message: \"\", pause: false"),
        ("export -o f a", "Export(Export { output: Some(\"f\"), latest: false, container: Some(ContainerId(\"a\"))"),
        ("import -m why --platform linux/arm64 - b", "Import(Import { change: [], message: \"why\""),
        ("exec -it -e A=1 c sh -c x", "Exec(Exec { container: Named(\"c\"), command: [\"sh\", \"-c\", \"x\"]"),
        ("container exec -l true", "Exec(Exec { container: Latest, command: [\"true\"]"),
        ("cp -a c:/x -", "Cp(Copy { from: Container(Named(\"c\"), \"/x\"), to: Stream, archive: true, follow: false }"),
        ("pause --all", "Pause(None)"),
        ("container unpause a b", "Unpause(Some([Named(\"a\"), Named(\"b\")]))"),
        ("top c -o pid,args", "Top(Top { container: Named(\"c\"), words: [\"-o\", \"pid,args\"] })"),
        ("port -l 80", "Port(Port { all: false, latest: true, words: [\"80\"] })"),
        ("stats --no-stream", "Stats(Stats { containers: None, all: false, no_stream: true"),
        ("update --restart=always a", "Update(Update {"),
        ("diff a", "Diff(Diff { format: Table, of: \"a\""),
        ("container diff a", "ContainerDiff("),
        ("image diff a b", "ImageDiff(ImageDiff { format: Table, image: \"a\", other: Some(\"b\")"),
        ("image mount", "ImageMount(ImageMount { all: false, format: Table, images: [] }"),
        ("image umount -af", "ImageUnmount(ImageUnmount { all: true, force: true, images: [] }"),
        ("image referrers --artifact-type x a", "Referrers(Referrers { artifact_type: Some(\"x\")"),
        ("image bootstrap busybox", "ImageBootstrap(ImageBootstrap { name: \"busybox\""),
        (
            "network create -d bridge --subnet 10.1.0.0/16,fd00::/64 n",
            "Network(Create(Create { driver: \"bridge\", subnet: [Network",
        ),
        ("network ls -q", "Network(List(List { filter: [], quiet: true"),
        ("network inspect a b", "Network(Inspect("),
        ("network remove -f a", "Network(Remove(Remove { force: true"),
        ("network prune -f", "Network(Prune(Prune { force: true"),
        ("network exists a", "Network(Exists("),
        (
            "network connect --alias x,y --gw-priority -3 a b",
            "Network(Connect(Connect { ip: None, ip6: None, mac_address",
        ),
        ("network disconnect -f a b", "Network(Disconnect(Disconnect { force: true"),
        ("info", "Info("),
        ("system info --format json", "Info(Info { format: Json"),
        ("version -f json", "Version(Version { format: Json"),
        ("--version", "Version("),
        ("-v", "Version("),
        ("completion zsh", "Completion(Zsh"),
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        let text = format!("{:?}", call(&words).unwrap());
        assert!(text.starts_with(verb), "{words:?}: {text}");
    }
}

#[test]
fn help_is_where_it_is_asked_for() {
    for (words, start) in [
        ("", "Containers without a daemon\n"),
        ("help", "Containers without a daemon\n"),
        ("--help", "Containers without a daemon\n"),
        ("-h", "Containers without a daemon\n"),
        ("-D", "Containers without a daemon\n"),
        ("run --help", "Run a command in a new container\n"),
        ("run --rm --help x", "Run a command in a new container\n"),
        ("help run", "Run a command in a new container\n"),
        ("help image ls", "List images\n"),
        ("image", "Images\n"),
        ("image --help", "Images\n"),
        ("help image", "Images\n"),
        ("ps -h", "List containers\n"),
        ("--debug ps --help", "List containers\n"),
    ] {
        let words: Vec<&str> = words.split(' ').filter(|word| !word.is_empty()).collect();
        let Ok(Verb::Help(text)) = call(&words) else { panic!("{words:?}") };
        assert!(text.starts_with(start), "{words:?}: {text}");
    }
}

#[test]
fn usage_errors_have_a_way_out() {
    for (words, text) in [
        ("rnu", "error: unknown command \"rnu\"\nhint: see 'sampan --help'\n"),
        ("versoin", "error: unknown command \"versoin\"\nhint: did you mean version?\n"),
        ("image sl", "error: unknown command \"sl\"\nhint: see 'sampan image --help'\n"),
        ("help nosuch", "error: unknown command \"nosuch\"\nhint: see 'sampan --help'\n"),
        ("-x ps", "error: unknown flag -x\nhint: see 'sampan --help'\n"),
        ("ps --al", "error: unknown flag --al\nhint: did you mean --all?\n"),
        ("ps x", "error: unexpected argument \"x\"\nhint: see 'sampan ps --help'\n"),
        ("rm", "error: missing CONTAINER...\nhint: see 'sampan rm --help'\n"),
        ("image bootstrap", "error: missing NAME\nhint: see 'sampan image bootstrap --help'\n"),
        (
            "rm a/b",
            "error: invalid value \"a/b\" for CONTAINER\n  \
             invalid container name \"a/b\": only [a-zA-Z0-9][a-zA-Z0-9_.-]* are allowed\n\
             hint: a letter or digit, then letters, digits, _, . and -; 128 at most\n",
        ),
        (
            "ps --format yaml",
            "error: invalid value \"yaml\" for --format\n  unknown format\n\
             hint: one of table, json, or a template such as {{.ID}}\n",
        ),
        (
            "ps --format {{.ID",
            "error: invalid value \"{{.ID\" for --format\n  unclosed action (at character 6)\n\
             hint: such as {{.ID}} or {{json .}}\n",
        ),
        (
            "ps -f colour=red",
            "error: invalid value \"colour=red\" for --filter\n  there is no filter colour\n\
             hint: one of ancestor, before, exited, expose, id, label, name, network, pod, publish, since, status, volume\n",
        ),
        (
            "images --filter dangling",
            "error: invalid value \"dangling\" for --filter\n  no value\n\
             hint: write KEY=VALUE; a key is one of before, dangling, label, label!, reference, since, until\n",
        ),
        (
            "completion csh",
            "error: invalid value \"csh\" for SHELL\n  unknown shell\nhint: one of bash, elvish, fish, powershell, zsh\n",
        ),
        (
            "--log-level loud ps",
            "error: invalid value \"loud\" for --log-level\n  unknown level\nhint: one of error, warn, info, debug\n",
        ),
        (
            "--cgroup-manager systemd ps",
            "error: invalid value \"systemd\" for --cgroup-manager\n  not supported by this version\nhint: use cgroupfs\n",
        ),
        ("--root", "error: --root needs a value\nhint: see 'sampan --help'\n"),
        ("--root= ps", "error: invalid value \"\" for --root\n  not a path\nhint: write a directory\n"),
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        assert_eq!(message(&words), (text.into(), Some(1)), "{words:?}");
    }
}

#[test]
fn globals_stand_before_the_verb() {
    let words = ["--root", "/r", "--state=s", "--log-level", "warn", "--cgroup-manager=cgroupfs", "run", "--rm", "x"];
    let call = parse(words.iter().map(Into::into).collect()).unwrap();
    assert_eq!(call.globals.root.as_deref(), Some("/r".as_ref()));
    assert_eq!(call.globals.state, Some(std::env::current_dir().unwrap().join("s")));
    assert_eq!(call.globals.level(), Level::Warning);
    assert!(matches!(call.verb, Verb::Run(request) if request.remove));
    let call = parse(vec!["-D".into(), "ps".into()]).unwrap();
    assert_eq!(call.globals.level(), Level::Debug);
}

#[test]
fn every_flag_says_what_it_is_for() {
    fn check(command: &clap::Command) {
        for arg in command.get_arguments().filter(|arg| !arg.is_positional()) {
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            assert!(!help.is_empty() && !help.ends_with('.'), "{} --{}", command.get_name(), arg.get_id());
        }
        command.get_subcommands().for_each(check);
    }
    let mut tree = tree();
    tree.build();
    check(&tree);
}

#[test]
fn parsers_are_sound() {
    // clap's own checks: no flag twice, no contradiction among settings.
    tree().debug_assert();
}
