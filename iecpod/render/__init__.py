"""Values in, text out: cloud-init seeds, kubeadm configuration, manifests."""
