package manifests_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	yamlutil "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// objects decodes every document of the manifest into Kubernetes' own type, by its kind. A field that the type does not have is an error.
func objects(t *testing.T) map[string][]any {
	t.Helper()
	body, err := os.ReadFile("../../deploy/kubernetes/writ.yaml")
	if err != nil {
		t.Fatal(err)
	}
	types := map[string]func() any{
		"v1 Namespace": func() any { return &corev1.Namespace{} }, "v1 ServiceAccount": func() any { return &corev1.ServiceAccount{} },
		"v1 Service": func() any { return &corev1.Service{} }, "apps/v1 Deployment": func() any { return &appsv1.Deployment{} },
		"policy/v1 PodDisruptionBudget":      func() any { return &policyv1.PodDisruptionBudget{} },
		"networking.k8s.io/v1 NetworkPolicy": func() any { return &networkingv1.NetworkPolicy{} },
	}
	found := map[string][]any{}
	reader := yamlutil.NewDocumentDecoder(io.NopCloser(bytes.NewReader(body)))
	buffer := make([]byte, 1<<20)
	for {
		n, err := reader.Read(buffer)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		document := bytes.Clone(buffer[:n])
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal(document, &kind); err != nil {
			t.Fatal(err)
		}
		name := kind.APIVersion + " " + kind.Kind
		make, known := types[name]
		if !known {
			t.Fatalf("%q is no kind that this test knows", name)
		}
		object := make()
		if err := yaml.UnmarshalStrict(document, object); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		found[kind.Kind] = append(found[kind.Kind], object)
	}
	return found
}

func TestTheManifestFitsKubernetesTypes(t *testing.T) {
	found := objects(t)
	for kind, n := range map[string]int{
		"Namespace": 1, "ServiceAccount": 1, "Deployment": 1, "Service": 2, "PodDisruptionBudget": 1, "NetworkPolicy": 1,
	} {
		if len(found[kind]) != n {
			t.Errorf("%d of kind %s, want %d", len(found[kind]), kind, n)
		}
	}
	deployment := found["Deployment"][0].(*appsv1.Deployment)
	pod := deployment.Spec.Template
	container := pod.Spec.Containers[0]
	ports := map[string]bool{}
	for _, port := range container.Ports {
		ports[port.Name] = true
	}
	for name, probe := range map[string]*corev1.Probe{
		"startup": container.StartupProbe, "readiness": container.ReadinessProbe, "liveness": container.LivenessProbe,
	} {
		if probe == nil || probe.HTTPGet == nil || !ports[probe.HTTPGet.Port.StrVal] {
			t.Errorf("the %s probe asks no port of the container", name)
		}
	}
	if container.LivenessProbe.HTTPGet.Path != "/livez" || container.ReadinessProbe.HTTPGet.Path != "/readyz" {
		t.Error("a probe asks the wrong path: liveness must not depend on the database")
	}
	selectors := map[string]labels.Selector{}
	add := func(name string, selector *metav1.LabelSelector) {
		s, err := metav1.LabelSelectorAsSelector(selector)
		if err != nil {
			t.Fatal(err)
		}
		selectors[name] = s
	}
	add("the deployment", deployment.Spec.Selector)
	add("the disruption budget", found["PodDisruptionBudget"][0].(*policyv1.PodDisruptionBudget).Spec.Selector)
	policy := found["NetworkPolicy"][0].(*networkingv1.NetworkPolicy)
	add("the network policy", &policy.Spec.PodSelector)
	for _, object := range found["Service"] {
		service := object.(*corev1.Service)
		add("the service "+service.Name, &metav1.LabelSelector{MatchLabels: service.Spec.Selector})
		for _, port := range service.Spec.Ports {
			if port.TargetPort.Type != intstr.String || !ports[port.TargetPort.StrVal] {
				t.Errorf("service %s leads to no port of the container", service.Name)
			}
		}
	}
	for name, selector := range selectors {
		if selector.Empty() || !selector.Matches(labels.Set(pod.Labels)) {
			t.Errorf("%s does not select the pods", name)
		}
	}
	for _, rule := range policy.Spec.Ingress {
		for _, port := range rule.Ports {
			if port.Port.StrVal == "admin" && len(rule.From) == 0 {
				t.Error("the admin listener is open to every namespace")
			}
		}
	}
}

// TestThePodMayDoNothingButServe holds it to the restricted profile of Kubernetes' pod security standards, and secrets to files.
func TestThePodMayDoNothingButServe(t *testing.T) {
	pod := objects(t)["Deployment"][0].(*appsv1.Deployment).Spec.Template.Spec
	container := pod.Containers[0]
	is := func(b *bool, want bool) bool { return b != nil && *b == want }
	context := container.SecurityContext
	if !is(pod.SecurityContext.RunAsNonRoot, true) || pod.SecurityContext.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault ||
		!is(context.AllowPrivilegeEscalation, false) || !is(context.ReadOnlyRootFilesystem, true) ||
		len(context.Capabilities.Drop) != 1 || context.Capabilities.Drop[0] != "ALL" || len(context.Capabilities.Add) > 0 ||
		!is(pod.AutomountServiceAccountToken, false) || pod.HostNetwork || pod.HostPID || pod.HostIPC {
		t.Errorf("the pod may do more than serve: %+v %+v", pod.SecurityContext, context)
	}
	mounted := container.VolumeMounts[0].MountPath + "/"
	for _, variable := range container.Env {
		secret := strings.Contains(variable.Name, "SECRET") || strings.Contains(variable.Name, "URI") || strings.Contains(variable.Name, "KEK")
		if secret && !(strings.HasSuffix(variable.Name, "_FILE") && strings.HasPrefix(variable.Value, mounted)) {
			t.Errorf("%s does not come from a file of the secret", variable.Name)
		}
	}
}
