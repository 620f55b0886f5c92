"""What manifests of pod networks look like where iecpod changes them: Calico, flannel and the Tigera operator."""

from __future__ import annotations

from iecpod.design.manifest_text import ManifestText

_CALICO = b"""
kind: ConfigMap
apiVersion: v1
metadata: {name: calico-config, namespace: kube-system}
data: {calico_backend: bird, veth_mtu: "0"}
---
kind: DaemonSet
apiVersion: apps/v1
metadata: {name: calico-node, namespace: kube-system, labels: {k8s-app: calico-node}}
spec:
  selector: {matchLabels: {k8s-app: calico-node}}
  template:
    metadata: {labels: {k8s-app: calico-node}}
    spec:
      initContainers:
        - name: install-cni
          image: quay.io/calico/cni:v3.32.1
      containers:
        - name: calico-node
          image: quay.io/calico/node:v3.32.1
          env:
            - {name: CALICO_IPV4POOL_IPIP, value: Always}
            - {name: CALICO_IPV4POOL_VXLAN, value: Never}
            - {name: FELIX_HEALTHENABLED, value: "true"}
          livenessProbe: {exec: {command: [/bin/calico-node, -felix-live, -bird-live]}}
          readinessProbe: {exec: {command: [/bin/calico-node, -felix-ready, -bird-ready]}}
---
kind: Deployment
apiVersion: apps/v1
metadata: {name: calico-kube-controllers, namespace: kube-system}
spec:
  selector: {matchLabels: {k8s-app: calico-kube-controllers}}
  template:
    metadata: {labels: {k8s-app: calico-kube-controllers}}
    spec:
      containers:
        - name: calico-kube-controllers
          image: quay.io/calico/kube-controllers:v3.32.1
"""
_FLANNEL = b"""
kind: Namespace
apiVersion: v1
metadata: {name: kube-flannel}
---
kind: ConfigMap
apiVersion: v1
metadata: {name: kube-flannel-cfg, namespace: kube-flannel}
data:
  cni-conf.json: |
    {"name": "cbr0", "cniVersion": "0.3.1", "plugins": [{"type": "flannel"}]}
  net-conf.json: |
    {
      "Network": "10.244.0.0/16",
      "EnableNFTables": false,
      "Backend": {
        "Type": "vxlan"
      }
    }
---
kind: DaemonSet
apiVersion: apps/v1
metadata: {name: kube-flannel-ds, namespace: kube-flannel, labels: {app: flannel}}
spec:
  selector: {matchLabels: {app: flannel}}
  template:
    metadata: {labels: {app: flannel}}
    spec:
      hostNetwork: true
      initContainers:
        - name: install-cni-plugin
          image: ghcr.io/flannel-io/flannel-cni-plugin:v1.9.1-flannel1
          command: [cp]
          args: [-f, /flannel, /opt/cni/bin/flannel]
      containers:
        - name: kube-flannel
          image: ghcr.io/flannel-io/flannel:v0.28.9
          command: [/opt/bin/flanneld]
          args: [--ip-masq, --kube-subnet-mgr]
          env:
            - {name: EVENT_QUEUE_DEPTH, value: "5000"}
"""
_CRDS = b"""
kind: CustomResourceDefinition
apiVersion: apiextensions.k8s.io/v1
metadata: {name: installations.operator.tigera.io}
spec:
  group: operator.tigera.io
  names: {kind: Installation, listKind: InstallationList, plural: installations, singular: installation}
  scope: Cluster
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
---
kind: CustomResourceDefinition
apiVersion: apiextensions.k8s.io/v1
metadata: {name: apiservers.operator.tigera.io}
spec:
  group: operator.tigera.io
  names: {kind: APIServer, listKind: APIServerList, plural: apiservers, singular: apiserver}
  scope: Cluster
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
"""
_OPERATOR = b"""
kind: Namespace
apiVersion: v1
metadata: {name: tigera-operator}
---
kind: Deployment
apiVersion: apps/v1
metadata: {name: tigera-operator, namespace: tigera-operator}
spec:
  selector: {matchLabels: {name: tigera-operator}}
  template:
    metadata: {labels: {name: tigera-operator}}
    spec:
      hostNetwork: true
      containers:
        - {name: tigera-operator, image: "quay.io/tigera/operator:v1.42.3"}
"""

FLANNEL = ManifestText("kube-flannel.yml", _FLANNEL)
OPERATOR_CRDS = ManifestText("operator-crds.yaml", _CRDS)
OPERATOR = ManifestText("tigera-operator.yaml", _OPERATOR)
CALICO = ManifestText("calico.yaml", _CALICO)
