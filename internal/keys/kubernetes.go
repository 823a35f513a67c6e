package keys

// Kubernetes. Labels and annotations that users write on pods carry our own domain.
const (
	// LabelInject on a pod asks for the drain hook; its value is "true".
	LabelInject = "tidegate.dev/inject"
	// AnnotationDrainPort is the number or the name of the port of the drain endpoint.
	AnnotationDrainPort = "tidegate.dev/drain-port"
	// AnnotationDrainPath is the path of the drain endpoint.
	AnnotationDrainPath = "tidegate.dev/drain-path"
	// AnnotationDrainSeconds is how long a drain may take.
	AnnotationDrainSeconds = "tidegate.dev/drain-seconds"
	// AnnotationContainer names the container that drains; default is the pod's first.
	AnnotationContainer = "tidegate.dev/container"
	// AnnotationService is the headless service under which the pod gets its name; default is the fleet's name.
	AnnotationService = "tidegate.dev/service"
	// AnnotationKeepGrace set to "true" leaves the pod's own grace period alone.
	AnnotationKeepGrace = "tidegate.dev/keep-grace"
	// AnnotationOverridePreStop set to "true" replaces a preStop hook that the pod has.
	AnnotationOverridePreStop = "tidegate.dev/override-prestop"
	// AnnotationDeletionCost orders the pods of one ReplicaSet in a scale-in: the lowest leaves first.
	AnnotationDeletionCost = "controller.kubernetes.io/pod-deletion-cost"

	// EnvDrainNonce, EnvPodName and EnvPodIP are what the injector puts into the container's environment.
	EnvDrainNonce = "TIDEGATE_DRAIN_NONCE"
	EnvPodName    = "POD_NAME"
	EnvPodIP      = "POD_IP"
)

// ScalerService is the first label of the host in a trigger's scalerAddress that makes the trigger ours.
const ScalerService = "tidegate-scaler"
