"""Values in, text out: libvirt XML, cloud-init seeds, kubeadm configuration."""
