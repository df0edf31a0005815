"""PCA with whitening, and k-means, of points that stay split over the devices.

Points are `f32[S,R,D]`: S shards of R rows, axis 0 over the devices, with
`weight` f32[S,R], 0 on padding and 1 elsewhere. Rows are read in blocks, so
that nothing of size N x k exists. Sums are made shard by shard and added in the
order of the shards: 1, 2, 4 and 8 devices give the same bits.
"""

from sslprune_jax.features.kmeans import Clusters as Clusters
from sslprune_jax.features.kmeans import kmeans as kmeans
from sslprune_jax.features.layout import flat as flat
from sslprune_jax.features.layout import lay_out as lay_out
from sslprune_jax.features.layout import shards as shards
from sslprune_jax.features.pca import Projection as Projection
from sslprune_jax.features.pca import fit_pca as fit_pca
from sslprune_jax.features.pca import project as project
