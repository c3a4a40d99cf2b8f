"""The gRPC door, by a client that knows nothing of Kybern but what reflection tells: mutual TLS, grpcio, and
descriptors fetched from the server.
"""
import json
import threading
import unittest

import grpc
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

import stack

CONFIG_MAPS = {"version": "v1", "resource": "configmaps"}
DEADLINE = 30


class Api:
    """The service `kybern.v1.Api`, its methods made from reflected descriptors."""

    def __init__(self, channel):
        self.database = ProtoReflectionDescriptorDatabase(channel)
        pool = descriptor_pool.DescriptorPool(self.database)
        service = pool.FindServiceByName("kybern.v1.Api")
        for method in service.methods:
            request = message_factory.GetMessageClass(method.input_type)
            answer = message_factory.GetMessageClass(method.output_type)
            make = channel.unary_stream if method.server_streaming else channel.unary_unary
            call = make(
                f"/{service.full_name}/{method.name}",
                request_serializer=request.SerializeToString,
                response_deserializer=answer.FromString,
            )
            setattr(self, method.name, self.bound(call, request))
        self.event = pool.FindMessageTypeByName("kybern.v1.WatchEvent").enum_types_by_name["Type"].values_by_name

    @staticmethod
    def bound(call, request):
        return lambda **fields: call(request(**fields), timeout=DEADLINE)


def config_map(name, **data):
    return json.dumps({"metadata": {"name": name, "labels": {"suite": "grpc"}}, "data": data}).encode()


class Grpc(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.kybern = cls.enterClassContext(stack.Stack())
        read = lambda name: (cls.kybern.root / "data/pki" / name).read_bytes()
        credentials = grpc.ssl_channel_credentials(read("ca.crt"), read("admin.key"), read("admin.crt"))
        cls.target = cls.kybern.url.removeprefix("https://")
        cls.channel = cls.enterClassContext(grpc.secure_channel(cls.target, credentials))
        cls.anonymous = cls.enterClassContext(
            grpc.secure_channel(cls.target, grpc.ssl_channel_credentials(read("ca.crt")))
        )
        cls.api = Api(cls.channel)

    def create(self, name, **data):
        answer = self.api.Create(resource=CONFIG_MAPS, namespace="default", data=config_map(name, **data))
        return json.loads(answer.data), answer.revision

    def refused(self, code, reason, call):
        with self.assertRaises(grpc.RpcError) as raised:
            call()
        self.assertEqual(raised.exception.code(), code)
        status = json.loads(dict(raised.exception.trailing_metadata())["kybern-status-bin"])
        self.assertEqual((status["kind"], status["reason"]), ("Status", reason))
        return status

    def test_reflection_lists_the_services(self):
        services = set(self.api.database.get_services())
        self.assertLessEqual({"kybern.v1.Api", "grpc.health.v1.Health"}, services)

    def test_health_is_served(self):
        pool = descriptor_pool.DescriptorPool(self.api.database)
        request = message_factory.GetMessageClass(pool.FindMessageTypeByName("grpc.health.v1.HealthCheckRequest"))
        answer = message_factory.GetMessageClass(pool.FindMessageTypeByName("grpc.health.v1.HealthCheckResponse"))
        check = self.channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=request.SerializeToString,
            response_deserializer=answer.FromString,
        )
        serving = answer.DESCRIPTOR.enum_types_by_name["ServingStatus"].values_by_name["SERVING"].number
        self.assertEqual(check(request(), timeout=DEADLINE).status, serving)

    def test_create_get_update_delete(self):
        created, revision = self.create("one", a="1")
        self.assertEqual(created["metadata"]["resourceVersion"], str(revision))
        whole = {"resource": CONFIG_MAPS, "namespace": "default", "name": "one"}
        self.assertEqual(json.loads(self.api.Get(**whole).data), created)
        created["data"]["a"] = "2"
        updated = self.api.Update(**whole, data=json.dumps(created).encode())
        self.assertGreater(updated.revision, revision)
        # The version that was updated is no longer the newest.
        self.refused(
            grpc.StatusCode.ABORTED, "Conflict", lambda: self.api.Update(**whole, data=json.dumps(created).encode())
        )
        patched = self.api.Patch(**whole, type=2, patch=b'{"data": {"b": "3"}}')
        self.assertEqual(json.loads(patched.data)["data"], {"a": "2", "b": "3"})
        self.assertTrue(self.api.Delete(**whole).gone)
        self.refused(grpc.StatusCode.NOT_FOUND, "NotFound", lambda: self.api.Get(**whole))

    def test_apply(self):
        whole = {"resource": CONFIG_MAPS, "namespace": "default", "name": "applied"}
        document = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: applied}\ndata: {a: first}\n"
        self.api.Apply(**whole, data=document, options={"field_manager": "one"})
        other = document.replace(b"first", b"second")
        apply = lambda **more: self.api.Apply(**whole, data=other, options={"field_manager": "two"}, **more)
        status = self.refused(grpc.StatusCode.ABORTED, "Conflict", apply)
        self.assertEqual(status["details"]["causes"][0]["field"], ".data.a")
        self.assertEqual(json.loads(apply(force=True).data)["data"], {"a": "second"})

    def test_list_in_pages(self):
        for number in range(7):
            self.create(f"page-{number}", n=str(number))
        names, token = [], ""
        while True:
            page = self.api.List(
                resource=CONFIG_MAPS, namespace="default", label_selector="suite=grpc", limit=3, **{"continue": token}
            )
            names += [json.loads(item.data)["metadata"]["name"] for item in page.items]
            token = getattr(page, "continue")
            if not token:
                break
        self.assertEqual([n for n in names if n.startswith("page-")], [f"page-{n}" for n in range(7)])

    def test_watch_from_the_present_state(self):
        self.create("seen-before")
        watch = self.api.Watch(
            resource=CONFIG_MAPS, namespace="default", field_selector="metadata.name!=kube-root-ca.crt", initial_state=True, bookmarks=True
        )
        events, present = [], threading.Event()

        def read():
            try:
                for event in watch:
                    events.append(event)
                    if event.initial_state_end:
                        present.set()
                    if event.type == self.api.event["TYPE_DELETED"].number:
                        return
            except grpc.RpcError as error:
                events.append(error)

        reader = threading.Thread(target=read)
        reader.start()
        self.assertTrue(present.wait(DEADLINE))
        before = len(events)
        self.create("seen-live")
        self.api.Delete(resource=CONFIG_MAPS, namespace="default", name="seen-live")
        reader.join(DEADLINE)
        watch.cancel()
        initial = [json.loads(e.object.data)["metadata"]["name"] for e in events[: before - 1]]
        self.assertIn("seen-before", initial)
        live = [(e.type, json.loads(e.object.data)["metadata"]["name"]) for e in events[before:] if e.object.data]
        kind = lambda name: self.api.event[name].number
        self.assertEqual(live, [(kind("TYPE_ADDED"), "seen-live"), (kind("TYPE_DELETED"), "seen-live")])
        revisions = [e.revision for e in events[before:]]
        self.assertEqual(revisions, sorted(set(revisions)))

    def test_bad_input(self):
        create = lambda data: lambda: self.api.Create(resource=CONFIG_MAPS, namespace="default", data=data)
        self.refused(grpc.StatusCode.INVALID_ARGUMENT, "BadRequest", create(b'{"metadata": '))
        self.refused(grpc.StatusCode.INVALID_ARGUMENT, "Invalid", create(config_map("Not A Name")))
        self.refused(grpc.StatusCode.INVALID_ARGUMENT, "BadRequest", create(b'{"a":' * 50_000))
        self.refused(grpc.StatusCode.INVALID_ARGUMENT, "Invalid", create(config_map("large", value="x" * 1_100_000)))
        read = lambda **fields: lambda: self.api.List(**{"resource": CONFIG_MAPS, "namespace": "default"} | fields)
        self.refused(grpc.StatusCode.NOT_FOUND, "NotFound", read(resource={"version": "v1", "resource": "gadgets"}))
        self.refused(grpc.StatusCode.NOT_FOUND, "NotFound", read(resource={}))
        self.refused(grpc.StatusCode.INVALID_ARGUMENT, "BadRequest", read(label_selector="a in ("))
        self.refused(grpc.StatusCode.INVALID_ARGUMENT, "BadRequest", read(field_selector="spec.nodeName=a"))
        self.refused(grpc.StatusCode.INVALID_ARGUMENT, "BadRequest", read(**{"continue": "garbage"}))
        whole = {"resource": CONFIG_MAPS, "namespace": "default", "name": "kube-root-ca.crt"}
        self.refused(
            grpc.StatusCode.INVALID_ARGUMENT, "BadRequest", lambda: self.api.Patch(**whole, type=2, patch=b"[1")
        )
        self.refused(
            grpc.StatusCode.INVALID_ARGUMENT, "BadRequest", lambda: self.api.Patch(**whole, type=99, patch=b"{}")
        )
        self.assertTrue(self.api.Get(**whole).data)

    def test_messages_that_are_none(self):
        raw = lambda method, message: self.channel.unary_unary(f"/kybern.v1.Api/{method}")(message, timeout=DEADLINE)
        for method, message, codes in [
            ("Get", b"\xff\xff\xff", {grpc.StatusCode.INTERNAL, grpc.StatusCode.INVALID_ARGUMENT}),
            ("Create", b"\x0a\x7f", {grpc.StatusCode.INTERNAL, grpc.StatusCode.INVALID_ARGUMENT}),
            ("Create", b"x" * (8 << 20), {grpc.StatusCode.OUT_OF_RANGE, grpc.StatusCode.RESOURCE_EXHAUSTED}),
            ("Fly", b"", {grpc.StatusCode.UNIMPLEMENTED}),
        ]:
            with self.subTest(method, size=len(message)), self.assertRaises(grpc.RpcError) as raised:
                raw(method, message)
            self.assertIn(raised.exception.code(), codes)
        self.assertTrue(self.create("whole", a="1")[1])

    def test_without_a_certificate_nothing_is_shown(self):
        # Reflection itself is open, as discovery is: what it tells is no secret.
        request = message_factory.GetMessageClass(
            descriptor_pool.DescriptorPool(self.api.database).FindMessageTypeByName("kybern.v1.ListRequest")
        )
        call = self.anonymous.unary_unary("/kybern.v1.Api/List", request_serializer=request.SerializeToString)
        self.refused(grpc.StatusCode.PERMISSION_DENIED, "Forbidden", lambda: call(request(resource=CONFIG_MAPS), timeout=DEADLINE))


if __name__ == "__main__":
    unittest.main()
