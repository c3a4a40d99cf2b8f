"""The `kubernetes` package, a client that nobody here wrote: typed and dynamic, CRUD, patch, apply and watch."""
import threading
import unittest

import kubernetes
from kubernetes import client, config, stream, watch
from kubernetes.client.exceptions import ApiException

import stack

SECONDS = 30


class Package(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.kybern = cls.enterClassContext(stack.Stack(nodes=2))
        cls.api = config.new_client_from_config(str(cls.kybern.root / "data/kubeconfig"))
        cls.core = client.CoreV1Api(cls.api)
        cls.apps = client.AppsV1Api(cls.api)

    def namespace(self, name):
        self.core.create_namespace({"metadata": {"name": name}})
        self.eventually(lambda: self.core.read_namespaced_service_account("default", name))
        return name

    def eventually(self, look, good=lambda value: True):
        """Watches nothing, asks again: for what has no event of its own."""
        done = threading.Event()
        for _ in range(SECONDS * 20):
            try:
                if good(value := look()):
                    return value
            except ApiException as error:
                if error.status != 404:
                    raise
            done.wait(0.05)
        self.fail("it did not come to be")

    def refused(self, status, reason, call, *arguments, **named):
        with self.assertRaises(ApiException) as raised:
            call(*arguments, **named)
        self.assertEqual((raised.exception.status, raised.exception.reason), (status, reason))

    def test_create_read_replace_delete(self):
        ns = self.namespace("py-crud")
        body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="settings"), data={"a": "1"})
        created = self.core.create_namespaced_config_map(ns, body)
        self.refused(409, "Conflict", self.core.create_namespaced_config_map, ns, body)
        stale = self.core.read_namespaced_config_map("settings", ns)
        created.data["a"] = "2"
        self.core.replace_namespaced_config_map("settings", ns, created)
        self.refused(409, "Conflict", self.core.replace_namespaced_config_map, "settings", ns, stale)
        self.assertEqual(self.core.read_namespaced_config_map("settings", ns).data, {"a": "2"})
        self.core.delete_namespaced_config_map("settings", ns)
        self.refused(404, "Not Found", self.core.read_namespaced_config_map, "settings", ns)

    def test_list_in_pages_and_by_labels(self):
        ns = self.namespace("py-list")
        for number in range(7):
            labels = {"half": str(number % 2)}
            self.core.create_namespaced_secret(ns, {"metadata": {"name": f"s{number}", "labels": labels}})
        names, token = [], None
        while token != "":
            page = self.core.list_namespaced_secret(ns, limit=3, _continue=token)
            names += [item.metadata.name for item in page.items]
            token = page.metadata._continue or ""
        self.assertEqual(names, [f"s{n}" for n in range(7)])
        self.assertEqual(len(self.core.list_namespaced_secret(ns, label_selector="half=1").items), 3)
        self.core.delete_collection_namespaced_secret(ns, label_selector="half=1")
        self.assertEqual(len(self.core.list_namespaced_secret(ns).items), 4)

    def test_watch(self):
        ns = self.namespace("py-watch")
        start = self.core.list_namespaced_config_map(ns).metadata.resource_version
        made = self.core.create_namespaced_config_map(ns, {"metadata": {"name": "watched"}})
        self.core.patch_namespaced_config_map("watched", ns, {"data": {"a": "1"}})
        self.core.delete_namespaced_config_map("watched", ns)
        watcher, seen = watch.Watch(), []
        for event in watcher.stream(
            self.core.list_namespaced_config_map, ns, resource_version=start, field_selector="metadata.name=watched", timeout_seconds=SECONDS
        ):
            seen.append(event["type"])
            self.assertEqual(event["object"].metadata.uid, made.metadata.uid)
            if event["type"] == "DELETED":
                watcher.stop()
        self.assertEqual(seen, ["ADDED", "MODIFIED", "DELETED"])

    def test_patches(self):
        ns = self.namespace("py-patch")
        self.core.create_namespaced_config_map(ns, {"metadata": {"name": "m"}, "data": {"a": "1"}})
        self.core.patch_namespaced_config_map("m", ns, [{"op": "add", "path": "/data/b", "value": "2"}])
        self.core.patch_namespaced_config_map("m", ns, {"data": {"a": None}})
        self.assertEqual(self.core.read_namespaced_config_map("m", ns).data, {"b": "2"})

    def test_apply_with_the_dynamic_client(self):
        ns = self.namespace("py-apply")
        dynamic = kubernetes.dynamic.DynamicClient(self.api)
        maps = dynamic.resources.get(api_version="v1", kind="ConfigMap")
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": "1"}}
        maps.server_side_apply(body=body, namespace=ns, field_manager="one")
        body["data"]["a"] = "2"
        with self.assertRaises(kubernetes.dynamic.exceptions.ConflictError):
            maps.server_side_apply(body=body, namespace=ns, field_manager="two")
        maps.server_side_apply(body=body, namespace=ns, field_manager="two", force_conflicts=True)
        applied = maps.get(name="m", namespace=ns)
        self.assertEqual(applied.data.a, "2")
        self.assertEqual([e.manager for e in applied.metadata.managedFields if e.operation == "Apply"], ["two"])

    def test_a_deployment_runs_scales_and_goes(self):
        ns = self.namespace("py-deployment")
        labels = {"app": "web"}
        pod = client.V1PodSpec(
            termination_grace_period_seconds=0, containers=[client.V1Container(name="web", image="registry.example/web:1")]
        )
        body = client.V1Deployment(
            metadata=client.V1ObjectMeta(name="web"),
            spec=client.V1DeploymentSpec(
                replicas=2,
                selector=client.V1LabelSelector(match_labels=labels),
                template=client.V1PodTemplateSpec(metadata=client.V1ObjectMeta(labels=labels), spec=pod),
            ),
        )
        self.apps.create_namespaced_deployment(ns, body)
        ready = lambda count: lambda d: d.status.ready_replicas == count and d.status.observed_generation == d.metadata.generation
        read = lambda: self.apps.read_namespaced_deployment("web", ns)
        self.eventually(read, ready(2))
        self.apps.patch_namespaced_deployment_scale("web", ns, {"spec": {"replicas": 3}})
        self.eventually(read, ready(3))
        self.apps.delete_namespaced_deployment("web", ns, propagation_policy="Foreground")
        self.eventually(lambda: self.core.list_namespaced_pod(ns).items, lambda pods: not pods)

    def test_logs_exec_and_port_forward(self):
        ns = self.namespace("py-looking")
        script = "echo hello; sleep infinity"
        container = client.V1Container(name="main", image="registry.example/tools:1", command=["sh", "-c", script])
        self.core.create_namespaced_pod(ns, client.V1Pod(metadata=client.V1ObjectMeta(name="p"), spec=client.V1PodSpec(containers=[container])))
        self.eventually(lambda: self.core.read_namespaced_pod("p", ns), lambda pod: pod.status.phase == "Running")
        # This client's version 36 gives the text of a bytes object for a log that it decodes itself.
        self.assertEqual(self.core.read_namespaced_pod_log("p", ns, _preload_content=False).data, b"hello\n")
        # Streaming changes the client that it is asked of.
        core = client.CoreV1Api(config.new_client_from_config(str(self.kybern.root / "data/kubeconfig")))
        command = ["sh", "-c", "echo out; echo err >&2; exit 3"]
        running = stream.stream(
            core.connect_get_namespaced_pod_exec, "p", ns, command=command, stdin=False, stdout=True, stderr=True, tty=False,
            _preload_content=False,
        )
        running.run_forever(timeout=SECONDS)
        self.assertEqual((running.read_stdout(), running.read_stderr(), running.returncode), ("out\n", "err\n", 3))
        forwarded = stream.portforward(core.connect_get_namespaced_pod_portforward, "p", ns, ports="80")
        self.assertEqual(forwarded.socket(80).recv(1), b"")
        self.assertIn("connection refused", forwarded.error(80))

    def test_discovery_and_version(self):
        self.assertEqual(client.VersionApi(self.api).get_code().major, "1")
        groups = {group.name for group in client.ApisApi(self.api).get_api_versions().groups}
        self.assertLessEqual({"apps", "batch", "policy", "coordination.k8s.io"}, groups)


if __name__ == "__main__":
    unittest.main()
