package manifests_test

import (
	"fmt"
	"net"
	"strings"
	"testing"

	autoscaling "k8s.io/api/autoscaling/v2"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/internal/scaledobject"
)

type behavior = autoscaling.HorizontalPodAutoscalerBehavior

// eachFleet runs a test on the one ScaledObject of each root.
func eachFleet(t *testing.T, test func(t root, o *objects, so scaledObject)) {
	t.Helper()
	everywhere(t, func(t root, o *objects) {
		if len(o.scaled) != 1 {
			t.Fatalf("%d ScaledObjects, want one", len(o.scaled))
		}
		test(t, o, o.scaled[0])
	})
}

func TestTheHPAPassesEveryCountInBothDirections(t *testing.T) {
	eachFleet(t, func(t root, _ *objects, so scaledObject) {
		b := so.Spec.Advanced.HorizontalPodAutoscalerConfig.Behavior
		for direction, rules := range map[string]*autoscaling.HPAScalingRules{"out": b.ScaleUp, "in": b.ScaleDown} {
			if rules == nil || rules.StabilizationWindowSeconds == nil || *rules.StabilizationWindowSeconds != 0 ||
				rules.SelectPolicy == nil || *rules.SelectPolicy != autoscaling.MaxChangePolicySelect || len(rules.Policies) == 0 {
				t.Fatalf("%s: %+v: what is missing Kubernetes fills in, and the HPA waits or cuts by itself", direction, rules)
			}
			if rules.Tolerance == nil || !rules.Tolerance.IsZero() {
				t.Errorf("%s: tolerance is %v: steps of one are lost from 10 replicas on", direction, rules.Tolerance)
			}
		}
		if got, want := steps(b.ScaleUp), "Pods 10/15 Percent 100/15"; got != want {
			t.Errorf("out: %s, want %s: a small fleet could not take a step of five", got, want)
		}
		want := "Pods 4/15"
		if t.name == "no-tolerance" {
			// The widened step is clamped to the one that was meant.
			want = "Pods 1/15"
		}
		if got := steps(b.ScaleDown); got != want {
			t.Errorf("in: %s, want %s", got, want)
		}
	})
}

// steps writes rules as "Pods 4/15": so many, a period of so many seconds.
func steps(rules *autoscaling.HPAScalingRules) string {
	all := make([]string, 0, len(rules.Policies))
	for _, p := range rules.Policies {
		all = append(all, fmt.Sprintf("%s %d/%d", p.Type, p.Value, p.PeriodSeconds))
	}
	return strings.Join(all, " ")
}

func TestWithoutAnAnswerTheFleetIsNeverScaledIn(t *testing.T) {
	eachFleet(t, func(t root, _ *objects, so scaledObject) {
		f := so.Spec.Fallback
		if f == nil || f.Behavior != scaledobject.FallbackCurrentReplicasIfHigher || f.FailureThreshold != 3 {
			t.Fatalf("fallback is %+v: static, KEDA's default, would set a fixed count", f)
		}
		if so.Spec.MinReplicaCount == nil || *so.Spec.MinReplicaCount < 2 || f.Replicas > *so.Spec.MinReplicaCount {
			t.Errorf("min %v, fallback %d: a fallback above the minimum scales out on a fault", so.Spec.MinReplicaCount, f.Replicas)
		}
		if so.Spec.MaxReplicaCount == nil || *so.Spec.MaxReplicaCount <= *so.Spec.MinReplicaCount {
			t.Errorf("max is %v", so.Spec.MaxReplicaCount)
		}
	})
}

func TestTheTriggerIsAPolicyWithoutAWarning(t *testing.T) {
	eachFleet(t, func(t root, o *objects, so scaledObject) {
		object, err := scaledobject.Parse(so.raw)
		if err != nil {
			t.Fatal(err)
		}
		if want := product + "/" + so.Spec.ScaleTargetRef.Name; object.Fleet.String() != want {
			t.Errorf("fleet is %s, want %s", object.Fleet, want)
		}
		o.deployment(t.T, so.Spec.ScaleTargetRef.Name)
		base := policyFile(t.T, o)
		p, warnings, err := object.Policy(base)
		if err != nil || len(warnings) > 0 {
			t.Fatalf("the balancer would not run it as it is written: %v %v", err, warnings)
		}
		if p.MinReplicas != int(*so.Spec.MinReplicaCount) || p.MaxReplicas != int(*so.Spec.MaxReplicaCount) || p.ConnectionsPerPod <= 0 {
			t.Errorf("policy has %d to %d nodes and %v connections a pod", p.MinReplicas, p.MaxReplicas, p.ConnectionsPerPod)
		}
	})
}

// policyFile is the policy that the balancer's ConfigMap says.
func policyFile(t *testing.T, o *objects) policy.Policy {
	t.Helper()
	text, ok := o.configOf(t, o.deployment(t, "tidegate-balancer"), "policy")["policy.json"]
	if !ok {
		t.Fatal("the balancer's policy file is in no ConfigMap")
	}
	p, err := policy.Load(strings.NewReader(text), policy.Default())
	if err != nil {
		t.Fatalf("the balancer would not start: %v", err)
	}
	return p
}

func TestKEDAFindsTheScalerAndBelievesItByTheWebhooksAuthority(t *testing.T) {
	eachFleet(t, func(t root, o *objects, so scaledObject) {
		trigger := so.Spec.Triggers[0]
		if len(so.Spec.Triggers) != 1 || trigger.Type != "external-push" || trigger.MetricType != "AverageValue" {
			t.Fatalf("triggers are %+v: polled the count waits for 15 s, and as Value it is multiplied by ready pods", so.Spec.Triggers)
		}
		host, port, err := net.SplitHostPort(trigger.Metadata["scalerAddress"])
		if err != nil || host != keys.ScalerService+"."+product+".svc" {
			t.Errorf("scalerAddress is %q (%v)", trigger.Metadata["scalerAddress"], err)
		}
		service := o.service(t.T, keys.ScalerService)
		if service.Spec.ClusterIP != "None" || service.Spec.PublishNotReadyAddresses {
			t.Error("the scaler's Service is not headless with ready addresses: KEDA would stay with one replica, or ask one that cannot answer")
		}
		if len(service.Spec.Ports) != 1 || port != "6000" || service.Spec.Ports[0].Port != 6000 {
			t.Errorf("KEDA asks port %s of %+v", port, service.Spec.Ports)
		}
		if len(o.auths) != 1 || o.auths[0].Name != trigger.AuthenticationRef.Name {
			t.Fatalf("the trigger's TriggerAuthentication %q is not here", trigger.AuthenticationRef.Name)
		}
		got := map[string]string{}
		for _, ref := range o.auths[0].Spec.SecretTargetRef {
			got[ref.Parameter] = ref.Name + "/" + ref.Key
		}
		for parameter, file := range map[string]string{"caCert": "ca.crt", "tlsClientCert": "tls.crt", "tlsClientKey": "tls.key"} {
			if got[parameter] != "tidegate-keda-tls/"+file {
				t.Errorf("%s comes from %q: without it KEDA speaks no mTLS", parameter, got[parameter])
			}
		}
	})
}
