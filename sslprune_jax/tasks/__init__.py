"""The pretext and supervised tasks, one file each behind one protocol."""

from sslprune_jax.tasks.base import Task as Task
from sslprune_jax.tasks.deepcluster import DeepCluster as DeepCluster
from sslprune_jax.tasks.exemplar import Exemplar as Exemplar
from sslprune_jax.tasks.labels import Labels as Labels
from sslprune_jax.tasks.labels import ManyLabels as ManyLabels
from sslprune_jax.tasks.npid import NPID as NPID
from sslprune_jax.tasks.rotnet import RotNet as RotNet
from sslprune_jax.tasks.s4l import S4L as S4L

# Those that see labels; all others work on unlabelled images.
SUPERVISED = ("labels", "s4l")
NAMES = ("labels", "rotnet", "exemplar", "npid", "s4l", "deepcluster")
