"""What Calico's manifests of version 3.3 look like where iecpod changes them: an etcd of their own, IPIP, no VXLAN."""

from __future__ import annotations

from iecpod.render.manifest import ManifestText

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
data: {etcd_endpoints: "http://10.96.232.136:6666", calico_backend: bird, veth_mtu: "1440"}
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
            - {name: IP, value: autodetect}
            - {name: IP_AUTODETECTION_METHOD, value: can-reach=host.example}
            - {name: CALICO_IPV4POOL_IPIP, value: Always}
            - {name: CALICO_IPV4POOL_CIDR, value: 192.168.0.0/16}
          readinessProbe: {exec: {command: [/bin/calico-node, -bird-ready, -felix-ready]}}
"""

MANIFESTS = (
    ManifestText("etcd.yaml", _ETCD),
    ManifestText("rbac.yaml", _RBAC),
    ManifestText("calico.yaml", _CALICO),
)
