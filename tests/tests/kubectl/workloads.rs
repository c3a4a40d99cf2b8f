//! run, expose, jobs, wait, and the examples of deploy/.

use kybern_tests::cluster::{Cluster, repository};

use crate::deployment;

pub fn run_expose_and_endpoints(cluster: &Cluster) {
    let kubectl = cluster.kubectl.in_namespace("exposing");
    kubectl.ok(&["run", "single", "--image=registry.example/web:1", "--port=8080", "--labels=app=single"]);
    kubectl.ok(&["wait", "--for=condition=Ready", "pod/single", "--timeout=60s"]);
    kubectl.ok(&["expose", "pod", "single", "--port=80", "--target-port=8080"]);
    let address = kubectl.value("pod/single", ".status.podIP");
    kubectl.wait_value("endpoints/single", ".subsets[0].addresses[0].ip", &address);
    let slices =
        ["get", "endpointslices", "-l", "kubernetes.io/service-name=single", "-o", "jsonpath={.items[0].endpoints[0].addresses[0]}"];
    kubectl.wait_until("a slice", &slices, |t| t == address);

    kubectl.feed(&["apply"], &deployment("web", 2, "registry.example/web:1"));
    kubectl.ok(&["expose", "deployment", "web", "--type=NodePort", "--port=80", "--target-port=http"]);
    kubectl.ok(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    let addresses = ["get", "endpoints", "web", "-o", "jsonpath={.subsets[0].addresses[*].ip}"];
    kubectl.wait_until("two endpoints", &addresses, |t| t.split_whitespace().count() == 2);
    kubectl.ok(&["scale", "deployment", "web", "--replicas=0"]);
    kubectl.wait_until("no endpoints", &addresses, str::is_empty);
}

pub fn jobs(cluster: &Cluster) {
    let kubectl = cluster.kubectl.in_namespace("jobs");
    kubectl.ok(&["create", "job", "once", "--image=registry.example/once:1", "--", "sh", "-c", "sleep 1"]);
    kubectl.ok(&["wait", "--for=condition=Complete", "job/once", "--timeout=60s"]);
    assert_eq!(kubectl.value("job/once", ".status.succeeded"), "1");
    let many = "
apiVersion: batch/v1
kind: Job
metadata: {name: many}
spec:
  completions: 4
  parallelism: 2
  completionMode: Indexed
  template:
    spec:
      restartPolicy: Never
      containers: [{name: main, image: 'registry.example/once:1', command: ['true']}]
";
    kubectl.feed(&["create"], many);
    kubectl.ok(&["wait", "--for=condition=Complete", "job/many", "--timeout=60s"]);
    assert_eq!(kubectl.value("job/many", ".status.completedIndexes"), "0-3");
    assert!(kubectl.ok(&["get", "jobs"]).contains("4/4"));
    kubectl.ok(&["delete", "job", "many"]);
    kubectl.wait_until("its pods to go", &["get", "pods", "-l", "job-name=many", "-o", "name"], str::is_empty);
    if kubectl.minor() >= 21 {
        kubectl.ok(&["create", "cronjob", "nightly", "--image=registry.example/once:1", "--schedule=0 3 * * *", "--", "true"]);
        kubectl.ok(&["create", "job", "tonight", "--from=cronjob/nightly"]);
        kubectl.ok(&["wait", "--for=condition=Complete", "job/tonight", "--timeout=60s"]);
    }
}

pub fn failing_job(cluster: &Cluster) {
    let kubectl = cluster.kubectl.in_namespace("failing-jobs");
    let job = "
apiVersion: batch/v1
kind: Job
metadata: {name: hopeless}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers: [{name: main, image: 'registry.example/once:1', command: [sh, -c, exit 3]}]
";
    kubectl.feed(&["create"], job);
    kubectl.ok(&["wait", "--for=condition=Failed", "job/hopeless", "--timeout=60s"]);
    let exit = "{.items[0].status.containerStatuses[0].state.terminated.exitCode}";
    assert_eq!(kubectl.ok(&["get", "pods", "-o", &format!("jsonpath={exit}")]), "3");
    assert!(kubectl.ok(&["describe", "job", "hopeless"]).contains("BackoffLimitExceeded"));
}

pub fn wait(cluster: &Cluster) {
    let kubectl = cluster.kubectl.in_namespace("waiting");
    kubectl.feed(&["apply"], &deployment("web", 1, "registry.example/web:1"));
    kubectl.ok(&["wait", "--for=condition=Available", "deployment/web", "--timeout=60s"]);
    assert!(kubectl.fails(&["wait", "--for=condition=Absurd", "deployment/web", "--timeout=1s"]).contains("timed out"));
    if kubectl.minor() >= 23 {
        kubectl.ok(&["wait", "--for=jsonpath={.status.readyReplicas}=1", "deployment/web", "--timeout=60s"]);
    }
    kubectl.ok(&["delete", "deployment", "web", "--wait=false"]);
    let gone = kubectl.run(&["wait", "--for=delete", "deployment/web", "--timeout=60s"]);
    let text = String::from_utf8_lossy(&gone.stderr).into_owned();
    // It may be gone before the wait begins.
    assert!(gone.status.success() || text.contains("not found") || text.contains("no matching resources"), "{text}");
}

pub fn the_shop(cluster: &Cluster) {
    let examples = repository("deploy/examples");
    let apply = |what: &str| cluster.kubectl.ok(&["apply", "-f", &examples.join(what).display().to_string()]);
    let shop = cluster.kubectl.within("shop");
    apply("00-namespace.yaml");
    shop.wait_until("the default service account", &["get", "serviceaccount", "default", "-o", "name"], |out| !out.is_empty());
    apply("");
    for rollout in ["deployment/frontend", "statefulset/orders-db", "daemonset/log-shipper"] {
        shop.ok(&["rollout", "status", rollout, "--timeout=60s"]);
    }
    shop.ok(&["wait", "--for=condition=Complete", "job/import-catalog", "--timeout=60s"]);
    let phases = shop.ok(&["get", "pods", "-o", "jsonpath={.items[*].status.phase}"]);
    assert!(phases.split_whitespace().all(|p| p == "Running" || p == "Succeeded"), "{phases}");
}
