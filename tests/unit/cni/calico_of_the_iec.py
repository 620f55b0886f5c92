"""What Calico's manifests of version 3.3 look like where iecpod changes them: an etcd of their own, IPIP, no VXLAN."""

from __future__ import annotations

from ipaddress import IPv4Address

from iecpod.design.etcd_tls import EtcdTls
from iecpod.design.manifest_text import ManifestText

_ETCD = b"""
kind: DaemonSet
apiVersion: extensions/v1beta1
metadata: {name: calico-etcd, namespace: kube-system}
spec:
  template:
    spec:
      containers:
        - name: calico-etcd
          image: quay.io/coreos/etcd:v3.3.9
          env:
            - name: CALICO_ETCD_IP
              valueFrom: {fieldRef: {fieldPath: status.podIP}}
          command: [/usr/local/bin/etcd]
          args:
            - --name=calico
            - --data-dir=/var/etcd/calico-data
            - --advertise-client-urls=http://$(CALICO_ETCD_IP):6666
            - --listen-client-urls=http://0.0.0.0:6666
            - --listen-peer-urls=http://0.0.0.0:6667
          volumeMounts: [{name: var-etcd, mountPath: /var/etcd}]
      volumes: [{name: var-etcd, hostPath: {path: /var/etcd}}]
---
kind: Service
apiVersion: v1
metadata: {name: calico-etcd, namespace: kube-system}
spec:
  clusterIP: 10.96.232.136
  ports: [{port: 6666}]
"""
_RBAC = b"""
kind: ClusterRole
apiVersion: rbac.authorization.k8s.io/v1beta1
metadata: {name: calico-node}
rules: []
"""
_CALICO = b"""
kind: ConfigMap
apiVersion: v1
metadata: {name: calico-config, namespace: kube-system}
data:
  etcd_endpoints: "http://10.96.232.136:6666"
  etcd_ca: ""
  etcd_cert: ""
  etcd_key: ""
  calico_backend: bird
  veth_mtu: "1440"
---
kind: Secret
apiVersion: v1
type: Opaque
metadata: {name: calico-etcd-secrets, namespace: kube-system}
data:
---
kind: DaemonSet
apiVersion: extensions/v1beta1
metadata: {name: calico-node, namespace: kube-system}
spec:
  template:
    spec:
      containers:
        - name: calico-node
          image: calico/node:v3.3.2
          env:
            - {name: ETCD_CA_CERT_FILE, valueFrom: {configMapKeyRef: {name: calico-config, key: etcd_ca}}}
            - {name: ETCD_KEY_FILE, valueFrom: {configMapKeyRef: {name: calico-config, key: etcd_key}}}
            - {name: ETCD_CERT_FILE, valueFrom: {configMapKeyRef: {name: calico-config, key: etcd_cert}}}
            - {name: IP, value: autodetect}
            - {name: IP_AUTODETECTION_METHOD, value: can-reach=host.example}
            - {name: CALICO_IPV4POOL_IPIP, value: Always}
            - {name: CALICO_IPV4POOL_CIDR, value: 192.168.0.0/16}
          readinessProbe: {exec: {command: [/bin/calico-node, -bird-ready, -felix-ready]}}
          volumeMounts: [{name: etcd-certs, mountPath: /calico-secrets}]
      volumes: [{name: etcd-certs, secret: {secretName: calico-etcd-secrets, defaultMode: 0400}}]
"""

#: Nobody reads it here.
TLS = EtcdTls(
    authority=b"authority\n",
    server_certificate=b"server certificate\n",
    server_key=b"server key\n",
    client_certificate=b"client certificate\n",
    client_key=b"client key\n",
)


def make_tls(*_addresses: IPv4Address) -> EtcdTls:
    return TLS


MANIFESTS = (
    ManifestText("etcd.yaml", _ETCD),
    ManifestText("rbac.yaml", _RBAC),
    ManifestText("calico.yaml", _CALICO),
)
