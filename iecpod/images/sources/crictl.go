// The part of crictl that kubeadm calls, and what a person asks first: Debian has no crictl, and without one
// `kubeadm init` and `kubeadm reset` refuse or leave pods running. It is compiled inside the Kubernetes tree, against
// the CRI client that the tree holds.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1alpha2"
)

const usage = `usage: crictl [-r ENDPOINT] [-t TIMEOUT] COMMAND

  info                 whether runtime and network are ready
  images               images, by tag
  inspecti IMAGE       fails where the image is not there
  pull IMAGE
  pods [-q]            pod sandboxes; -q prints identifiers only
  ps [-a]              containers; -a also those that do not run
  stopp POD, rmp POD   stop or remove a pod sandbox
`

type client struct {
	context context.Context
	runtime cri.RuntimeServiceClient
	images  cri.ImageServiceClient
}

func main() {
	endpoint := flag.String("r", "unix:///run/containerd/containerd.sock", "socket of the runtime")
	timeout := flag.Duration("t", 10*time.Minute, "how long a command may take")
	flag.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(*endpoint, *timeout, flag.Arg(0), flag.Args()[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "crictl:", err)
		os.Exit(1)
	}
}

func run(endpoint string, timeout time.Duration, command string, arguments []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	connection, err := grpc.DialContext(ctx, endpoint, grpc.WithInsecure())
	if err != nil {
		return err
	}
	defer connection.Close()
	c := client{ctx, cri.NewRuntimeServiceClient(connection), cri.NewImageServiceClient(connection)}
	switch command {
	case "info":
		return c.info()
	case "images":
		return c.listImages()
	case "inspecti":
		return c.eachArgument(arguments, c.inspectImage)
	case "pull":
		return c.eachArgument(arguments, c.pull)
	case "pods":
		return c.listPods(contains(arguments, "-q"))
	case "ps":
		return c.listContainers(contains(arguments, "-a"))
	case "stopp":
		return c.eachArgument(arguments, func(pod string) error {
			_, err := c.runtime.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: pod})
			return err
		})
	case "rmp":
		return c.eachArgument(arguments, func(pod string) error {
			_, err := c.runtime.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: pod})
			return err
		})
	}
	return fmt.Errorf("unknown command %q\n%s", command, usage)
}

func (c client) eachArgument(arguments []string, do func(string) error) error {
	if len(arguments) == 0 {
		return fmt.Errorf("an argument is missing\n%s", usage)
	}
	for _, argument := range arguments {
		if err := do(argument); err != nil {
			return fmt.Errorf("%s: %v", argument, err)
		}
	}
	return nil
}

func (c client) info() error {
	answer, err := c.runtime.Status(c.context, &cri.StatusRequest{})
	if err != nil {
		return err
	}
	for _, condition := range answer.Status.Conditions {
		fmt.Println(condition.Type, condition.Status, condition.Reason, condition.Message)
	}
	return nil
}

func (c client) listImages() error {
	answer, err := c.images.ListImages(c.context, &cri.ListImagesRequest{})
	if err != nil {
		return err
	}
	for _, image := range answer.Images {
		fmt.Println(image.Id, image.Size_, strings.Join(image.RepoTags, " "))
	}
	return nil
}

func (c client) inspectImage(reference string) error {
	request := &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: reference}}
	answer, err := c.images.ImageStatus(c.context, request)
	if err != nil {
		return err
	}
	if answer.Image == nil {
		return fmt.Errorf("no such image")
	}
	fmt.Println(answer.Image.Id)
	return nil
}

func (c client) pull(reference string) error {
	request := &cri.PullImageRequest{Image: &cri.ImageSpec{Image: reference}}
	answer, err := c.images.PullImage(c.context, request)
	if err != nil {
		return err
	}
	fmt.Println(answer.ImageRef)
	return nil
}

func (c client) listPods(quiet bool) error {
	answer, err := c.runtime.ListPodSandbox(c.context, &cri.ListPodSandboxRequest{})
	if err != nil {
		return err
	}
	for _, pod := range answer.Items {
		if quiet {
			fmt.Println(pod.Id)
		} else {
			fmt.Println(pod.Id, pod.State, pod.Metadata.Namespace+"/"+pod.Metadata.Name)
		}
	}
	return nil
}

func (c client) listContainers(all bool) error {
	answer, err := c.runtime.ListContainers(c.context, &cri.ListContainersRequest{})
	if err != nil {
		return err
	}
	for _, container := range answer.Containers {
		if all || container.State == cri.ContainerState_CONTAINER_RUNNING {
			pod := container.Labels["io.kubernetes.pod.namespace"] + "/" + container.Labels["io.kubernetes.pod.name"]
			fmt.Println(container.Id, container.State, container.Metadata.Name, pod)
		}
	}
	return nil
}

func contains(arguments []string, wanted string) bool {
	for _, argument := range arguments {
		if argument == wanted {
			return true
		}
	}
	return false
}
