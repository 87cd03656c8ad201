//! What pods can do on a node, seen through the API server as an administrator sees it.

use kmimage_qemu_tests::cluster::control_plane::ControlPlane;
use kmimage_qemu_tests::cluster::node::MINUTES;
use kmimage_qemu_tests::netns::Netns;
use kmimage_qemu_tests::netns::daemon::Daemon;
use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::process::Stdio;
use std::time::Duration;

/// How long something may take that is done in a second by an idle machine.
const SOON: Duration = Duration::from_secs(90);

/// Three replicas run, are reached by their service, and can be looked into.
pub(crate) fn serve(plane: &ControlPlane<'_>) {
    let replicas = ["get", "deployment", "web", "-o", "jsonpath={.status.readyReplicas}"];
    plane.until("three replicas", MINUTES, &replicas, |said| (said == "3").then_some(()));
    let pod = a_replica(plane);
    // By the rules that the real kube-proxy makes, from within a pod.
    let fetch = ["exec", &pod, "--", "/probe", "pod", "fetch", "10.96.0.80:80"];
    plane.until("the service", SOON, &fetch, |said| (said == "hello from a pod\n").then_some(()));
    plane.kubectl(&["logs", &pod]);
    let node = plane.kubectl(&["get", "pod", &pod, "-o", "jsonpath={.spec.nodeName}"]);
    let logs = plane.kubectl(&["get", "--raw", &format!("/api/v1/nodes/{node}/proxy/logs/")]);
    assert!(logs.contains("pods/"), "{logs}");
}

/// A pod of the deployment that is not on its way out.
fn a_replica(plane: &ControlPlane<'_>) -> String {
    let running =
        "jsonpath={range .items[?(@.status.phase==\"Running\")]}{.metadata.name} {.metadata.deletionTimestamp}{\"\\n\"}{end}";
    let pods = plane.kubectl(&["get", "pods", "-l", "app=web", "-o", running]);
    let living = pods.lines().find_map(|line| line.strip_suffix(' '));
    living.unwrap_or_else(|| panic!("no replica runs: {pods}")).to_owned()
}

/// Every kind of volume holds what it should.
pub(crate) fn have_volumes(plane: &ControlPlane<'_>) {
    plane.apply(include_str!("manifests/volumes.yaml"));
    plane.kubectl(&["wait", "--for=condition=Ready", "pod/volumes", "--timeout=240s"]);
    let inside = |container: &str, words: &[&str]| {
        plane.kubectl(&[&["exec", "volumes", "-c", container, "--", "/probe", "pod"], words].concat())
    };
    assert_eq!(inside("one", &["cat", "/config/text", "/secret/text", "/self/colour"]), "from a ConfigMap\nfrom a Secret\ngreen");
    let token = inside("one", &["cat", "/token/token"]);
    assert_eq!(token.split('.').count(), 3, "not a JSON Web Token");
    assert!(inside("one", &["cat", "/host/os-release"]).contains("kmimage"));
    inside("one", &["write", "/shared/note", "from the other container"]);
    assert_eq!(inside("other", &["cat", "/shared/note"]), "from the other container");
    let denied = ["exec", "volumes", "-c", "one", "--", "/probe", "pod", "write", "/host/os-release", "x"];
    let denied = plane.try_kubectl(&denied).unwrap_err();
    assert!(denied.contains("Read-only file system"), "{denied}");
    plane.kubectl(&["delete", "pod", "volumes", "--wait=false"]);
}

/// Who is not alive is started again, who takes too much is ended; the one with last words is left running.
pub(crate) fn live_and_end(plane: &ControlPlane<'_>) {
    plane.apply(include_str!("manifests/lives.yaml"));
    let container = |pod: &str, wanted: &str, pleases: &dyn Fn(&str) -> bool| {
        let path = format!("jsonpath={{.status.containerStatuses[0].{wanted}}}");
        plane
            .until(&format!("{wanted} of {pod}"), MINUTES, &["get", "pod", pod, "-o", &path], |said| pleases(said).then_some(()));
    };
    container("greedy", "state.terminated.reason", &|reason| reason == "OOMKilled");
    container("fragile", "restartCount", &|count| count.parse().is_ok_and(|count: u32| count >= 2));
    container("talker", "state.running.startedAt", &|at| !at.is_empty());
    container("last-words", "state.running.startedAt", &|at| !at.is_empty());
    plane.until("its first line", SOON, &["logs", "last-words"], |said| (said == "waiting\n").then_some(()));
    attach(plane);
    plane.kubectl(&["delete", "pod", "fragile", "greedy", "talker", "--wait=false"]);
}

/// A container hears what is typed, and is heard.
fn attach(plane: &ControlPlane<'_>) {
    let mut attach = plane.kubectl_command();
    attach.args(["attach", "--stdin", "talker"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut attach = attach.spawn().unwrap();
    let mut typed = attach.stdin.take().unwrap();
    typed.write_all(b"good morning\n").unwrap();
    let mut heard = [0; 22];
    attach.stdout.take().unwrap().read_exact(&mut heard).unwrap();
    assert_eq!(String::from_utf8_lossy(&heard), "you said: good morning");
    drop(typed);
    attach.wait().unwrap();
    // stdinOnce: who leaves ends it.
    let phase = ["get", "pod", "talker", "-o", "jsonpath={.status.phase}"];
    plane.until("the end of the talk", SOON, &phase, |said| (said == "Succeeded").then_some(()));
}

/// A port of a pod, brought to where kubectl runs.
pub(crate) fn forward_ports(lan: &Netns, plane: &ControlPlane<'_>) {
    let mut forward = plane.kubectl_command();
    forward.args(["port-forward", &format!("pod/{}", a_replica(plane)), "18080:8080"]);
    let forward = Daemon::spawn(&mut forward);
    forward.wait_for("the port", SOON, |line| line.starts_with("Forwarding from 127.0.0.1").then_some(()));
    let ask = "exec 3<>/dev/tcp/127.0.0.1/18080; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3";
    let answer = lan.run(&["bash", "-c", ask]);
    assert!(answer.ends_with("hello from a pod"), "{answer}");
}

/// The way to look into a node that has no shell: a pod in which its root is mounted.
pub(crate) fn look_into_the_node(plane: &ControlPlane<'_>, node: &str) {
    let words = ["debug", &format!("node/{node}"), "--image=kmimage.test/probe:1", "--profile=sysadmin", "--"];
    let said = plane.kubectl(&[&words[..], &["/probe", "pod", "cat", "/host/etc/os-release"]].concat());
    let pod = said.split_whitespace().find(|word| word.starts_with("node-debugger-"));
    let pod = pod.unwrap_or_else(|| panic!("kubectl debug: {said}"));
    let phase = ["get", "pod", pod, "-o", "jsonpath={.status.phase}"];
    plane.until("the look's end", MINUTES, &phase, |said| (said == "Succeeded").then_some(()));
    let release = plane.kubectl(&["logs", pod]);
    assert!(release.contains("kmimage"), "{release}");
    plane.kubectl(&["delete", "pod", pod, "--wait=false"]);
}

/// A node that is drained runs no replica; afterwards it may again.
pub(crate) fn drain_and_return(plane: &ControlPlane<'_>, node: &str) {
    plane.kubectl(&["drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=240s"]);
    let here = format!("spec.nodeName={node}");
    let left = ["get", "pods", "-l", "app=web", "--field-selector", &here, "-o", "name"];
    assert_eq!(plane.kubectl(&left), "", "a replica is left on a drained node");
    plane.kubectl(&["uncordon", node]);
    serve(plane);
}

/// What a pod of the DaemonSet `everywhere` says of itself on a node: `metadata.name`, `status.podIP`.
pub(crate) fn everywhere(plane: &ControlPlane<'_>, node: &str, field: &str) -> String {
    let (here, path) = (format!("spec.nodeName={node}"), format!("jsonpath={{.items[0].{field}}}"));
    let words = ["get", "pods", "-l", "app=everywhere", "--field-selector", &here, "-o", &path];
    plane.until(&format!("{field} on {node}"), MINUTES, &words, |said| (!said.is_empty()).then(|| said.to_owned()))
}

/// The containers of the deployment that run: another id is another container.
pub(crate) fn containers(plane: &ControlPlane<'_>) -> BTreeSet<String> {
    let running =
        "jsonpath={range .items[?(@.status.phase==\"Running\")]}{.status.containerStatuses[*].containerID}{\"\\n\"}{end}";
    let said = plane.kubectl(&["get", "pods", "-l", "app=web", "-o", running]);
    said.lines().map(str::to_owned).collect()
}
