package cluster

import (
	"context"

	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// resource is what the typed, dynamic and metadata clients of one kind of object have in common.
type resource[L runtime.Object] interface {
	List(context.Context, meta.ListOptions) (L, error)
	Watch(context.Context, meta.ListOptions) (watch.Interface, error)
}

// watched is an informer of one kind of object that tells the contact whether it hears the API server. client is what the
// resource was made of, example an object of that kind.
func watched[L runtime.Object](c *contact, kind string, client any, r resource[L], example runtime.Object, indexers cache.Indexers) cache.SharedIndexInformer {
	both := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options meta.ListOptions) (runtime.Object, error) {
			list, err := r.List(ctx, options)
			if err != nil {
				c.failed(kind)
				return nil, err
			}
			return list, nil
		},
		WatchFuncWithContext: func(ctx context.Context, options meta.ListOptions) (watch.Interface, error) {
			stream, err := r.Watch(ctx, options)
			if err != nil {
				c.failed(kind)
				return nil, err
			}
			c.watches(kind)
			return stream, nil
		},
	}
	return cache.NewSharedIndexInformer(cache.ToListWatcherWithWatchListSemantics(both, client), example, 0, indexers)
}
